/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events: a sample of fixed size is put together in per-CPU scratch and written
 * to this CPU's ring. What does not fit is counted (and by the perf ring itself
 * as lost). Cost: about 60 ns, the copy of the packet included.
 */
#ifndef LEAVITT_REPORT_H
#define LEAVITT_REPORT_H

#include "maps.h"
#include "parse.h"

struct drop_sample {
	struct event_drop header;
	struct event_ext ext;
	__u8 packet[CAPTURE_BYTES];
};

struct trace_sample {
	struct event_trace header;
	struct event_ext ext;
	__u8 packet[CAPTURE_BYTES];
};

struct verdict_sample {
	struct event_verdict header;
	struct event_ext ext;
	__u8 packet[CAPTURE_BYTES];
};

/* Who talks to whom, as events name them. */
struct parties {
	__u32 source_identity;
	__u32 destination_identity;
	__u32 source_endpoint; /* 0: not on this node */
	__u32 destination_endpoint;
};

/* What a trace tells of one direction of a connection. */
struct report {
	__u64 bytes;
	__u32 packets;
	__u32 rtt_ns;
	__u8 flags; /* EXT_FLAG_* */
};

static __always_inline struct sample *sample_begin(u32 slot)
{
	struct sample *sample = scratch.lookup(&slot);

	/* no stale bytes of an earlier packet behind a short one */
	if (sample)
		__builtin_memset(sample, 0, sizeof(*sample));
	return sample;
}

/* Copy the packet's start and set what all headers begin with. */
static __always_inline void sample_capture(struct __sk_buff *skb, struct event_common *common,
					   struct event_ext *ext, __u8 *packet)
{
	u32 bytes = skb->len < CAPTURE_BYTES ? skb->len : CAPTURE_BYTES;

	common->hash = bpf_get_hash_recalc(skb);
	common->len_orig = skb->len;
	common->len_cap = bytes;
	common->ext_version = EXT_VERSION;
	if (skb->vlan_present) {
		ext->vlan_tci = skb->vlan_tci;
		ext->flags |= EXT_FLAG_VLAN;
	}
	/* the verifier wants 1..CAPTURE_BYTES to be plain; no frame is empty */
	asm volatile("" : "+r"(bytes));
	bytes = ((bytes - 1) & (CAPTURE_BYTES - 1)) + 1;
	bpf_skb_load_bytes(skb, 0, packet, bytes);
}

/* Write the sample: 0, or why not. */
static __always_inline int sample_send(struct __sk_buff *skb, struct sample *sample, u32 kind)
{
	int error = events.perf_submit(skb, sample, SAMPLE_BYTES);

	count(COUNTER_PRODUCED_DROP + kind);
	if (error == -ENOENT)
		count(COUNTER_UNREAD_DROP + kind);
	else if (error)
		count(COUNTER_FULL_DROP + kind);
	return error;
}

/* Count the dropped packet and tell it. endpoint: the one it was judged for. */
static __always_inline void report_drop(struct __sk_buff *skb, const struct packet *packet,
					const struct parties *parties, u32 endpoint, u32 drop,
					u32 cookie)
{
	struct drop_sample *sample = (struct drop_sample *)sample_begin(SCRATCH_PACKET);
	u32 reason = DROP_AT_REASON(drop);
	u64 *dropped = drops.lookup(&reason);

	if (dropped)
		*dropped += 1;
	count(COUNTER_DROPPED);
	if (!sample)
		return;
	sample->header.common.type = EVENT_DROP;
	sample->header.common.subtype = reason;
	sample->header.common.source = endpoint;
	sample->header.common.version = DROP_VERSION;
	sample->header.src_label = parties->source_identity;
	sample->header.dst_label = parties->destination_identity;
	if (endpoint != parties->source_endpoint)
		sample->header.dst_id = parties->destination_endpoint;
	sample->header.line = DROP_AT_LINE(drop);
	sample->header.file = DROP_AT_FILE(drop);
	sample->header.ifindex = skb->ifindex;
	sample->header.flags = packet->ipv6 ? EVENT_FLAG_IPV6 : 0;
	sample->ext.bytes = packet->bytes;
	sample->ext.packets = packet->segments;
	sample->ext.rule_cookie = cookie;
	sample_capture(skb, &sample->header.common, &sample->ext, sample->packet);
	sample_send(skb, (struct sample *)sample, KIND_DROP);
}

/* Tell a passed packet with the counts it stands for: 0, or why it could not be told. */
static __always_inline int report_trace(struct __sk_buff *skb, const struct packet *packet,
					const struct parties *parties, u32 point, u32 reason,
					u32 ifindex, const struct report *report)
{
	struct trace_sample *sample = (struct trace_sample *)sample_begin(SCRATCH_PACKET);

	if (!sample)
		return -ENOENT;
	sample->header.common.type = EVENT_TRACE;
	sample->header.common.subtype = point;
	sample->header.common.source = point == TRACE_TO_ENDPOINT ? parties->destination_endpoint
								  : parties->source_endpoint;
	sample->header.common.version = TRACE_VERSION;
	sample->header.src_label = parties->source_identity;
	sample->header.dst_label = parties->destination_identity;
	sample->header.dst_id = parties->destination_endpoint;
	sample->header.reason = reason;
	sample->header.flags = packet->ipv6 ? EVENT_FLAG_IPV6 : 0;
	sample->header.ifindex = ifindex;
	sample->ext.bytes = report->bytes;
	sample->ext.packets = report->packets;
	sample->ext.rtt_ns = report->rtt_ns;
	sample->ext.flags = report->flags;
	sample_capture(skb, &sample->header.common, &sample->ext, sample->packet);
	return sample_send(skb, (struct sample *)sample, KIND_TRACE);
}

#endif
