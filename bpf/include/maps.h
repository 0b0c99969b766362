/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps. All but the scratch and the rings are pinned by name under
 * PIN_FOLDER and outlive the process that made them.
 */
#ifndef LEAVITT_MAPS_H
#define LEAVITT_MAPS_H

#include "counters.h"
#include "events.h"
#include "layout.h"
#include "reasons.h"

/* address -> endpoint on this node, user space writes */
BPF_TABLE_PINNED7("hash", struct address, struct endpoint, endpoints, 16384,
		  PIN_FOLDER "/endpoints", 0);

/* ifindex of the host side -> the endpoint behind it, user space writes */
BPF_TABLE_PINNED7("hash", u32, struct endpoint, devices, 8192, PIN_FOLDER "/devices", 0);

/* network -> identity, 512,000, user space writes; not preallocated: a trie cannot be */
BPF_TABLE_PINNED7("lpm_trie", struct ipcache_key, u32, ipcache, 512000, PIN_FOLDER "/ipcache",
		  BPF_F_NO_PREALLOC);

/*
 * both ends -> connection, CONNECTION_ENTRIES; programs write. Not an LRU: what
 * leaves goes through the sweep, which reports it. Preallocated: a burst of
 * connections cannot fail for want of memory.
 */
BPF_TABLE_PINNED7("hash", struct connection_key, struct connection, connections, CONNECTION_ENTRIES,
		  PIN_FOLDER "/connections", 0);

/* {endpoint, direction, peer, protocol, port} -> decision, 262,144, user space writes */
BPF_TABLE_PINNED7("lpm_trie", struct policy_key, struct policy_value, policy, 262144,
		  PIN_FOLDER "/policy", BPF_F_NO_PREALLOC);

/* datagram -> ports of its first fragment, 8,192, programs write */
BPF_TABLE_PINNED7("lru_hash", struct fragment_key, struct fragment_value, fragments, 8192,
		  PIN_FOLDER "/fragments", 0);

/* 0 -> settings, user space writes */
BPF_TABLE_PINNED7("array", u32, struct settings, settings_map, 1, PIN_FOLDER "/settings_map", 0);

/* enum counter -> count, programs write */
BPF_TABLE_PINNED7("percpu_array", u32, u64, counters, COUNTER_MAX, PIN_FOLDER "/counters", 0);

/* enum drop_reason -> packets, programs write */
BPF_TABLE_PINNED7("percpu_array", u32, u64, drops, DROP_REASON_MAX, PIN_FOLDER "/drops", 0);

/* CPU -> ring of samples (events.h), user space installs */
BPF_PERF_OUTPUT(events);

struct sample {
	u64 word[SAMPLE_BYTES / 8];
};

#define SCRATCH_PACKET 0
#define SCRATCH_SWEEP 1 /* before 6.10 a sweep could be interrupted by a packet */
#define SCRATCH_DEBUG 2
#define SCRATCH_SLOTS 3

/* SCRATCH_* -> room for what is too big for the stack, programs write */
BPF_PERCPU_ARRAY(scratch, struct sample, SCRATCH_SLOTS);

static __always_inline void count_n(u32 counter, u64 n)
{
	u64 *value = counters.lookup(&counter);

	if (value)
		*value += n;
}

static __always_inline void count(u32 counter)
{
	count_n(counter, 1);
}

#endif
