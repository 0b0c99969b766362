/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keys and values of the maps that user space reads or writes. It includes
 * nothing of BCC, so that any compiler can tell the offsets;
 * observer/kernel/layout.py mirrors it and a test compares every one. Another
 * size of any of these is another ABI: the loader refuses to reuse such pins.
 *
 * Byte order is that of the packet where a type says __be, else native; both
 * machines we run on are little-endian.
 */
#ifndef LEAVITT_LAYOUT_H
#define LEAVITT_LAYOUT_H

#include <linux/bpf.h>
#include <linux/types.h>

/* 16 bytes as on the wire; IPv4 as ::ffff:a.b.c.d */
struct address {
	__u64 word[2];
};

#define ENDPOINT_ENFORCE_INGRESS 0x01
#define ENDPOINT_ENFORCE_EGRESS 0x02

/* of what stands in `devices` while interfaces are only observed; neither: a pod's or container's */
#define DEVICE_HOST 0x04 /* the host's own end of a bridge */
#define DEVICE_NETWORK 0x08 /* leads off the node */

struct endpoint {
	struct address ipv4; /* zero: none */
	struct address ipv6; /* zero: none */
	__u32 ifindex; /* host side of the pod's interface */
	__u32 identity;
	__u16 endpoint_id;
	__u8 flags;
	__u8 pad;
	__u8 mac[6]; /* of the pod: the two stand as in a header of a frame to the pod */
	__u8 host_mac[6]; /* of the host side */
};

#define IPCACHE_FAMILY_BITS 32

struct ipcache_key {
	__u32 prefix_bits; /* IPCACHE_FAMILY_BITS + those of the network */
	__u32 family; /* 4 or 6 */
	__u32 address[4]; /* IPv4 in the first */
};

#define ICMP_SPEAKER_LOW 1
#define ICMP_SPEAKER_HIGH 2

/*
 * One key for both directions: the smaller (address, port) first, compared as native words.
 * ICMP: the id of a question is the port of who asks; see icmp.h.
 */
struct connection_key {
	struct address low;
	struct address high;
	__be16 low_port;
	__be16 high_port;
	__u8 protocol;
	__u8 icmp_talk; /* type of the question, or of what is no question */
	__u8 icmp_code; /* of what is no question */
	__u8 icmp_speaker; /* ICMP_SPEAKER_*: who asks or speaks, 0 if it is no ICMP */
};

/* What one end of the connection has sent. */
struct connection_side {
	__u64 packets;
	__u64 bytes;
	__u64 reported_packets; /* of these, those that an event has told */
	__u64 reported_bytes;
	__u64 last_ns; /* CLOCK_MONOTONIC of its last packet, 0 none yet */
	__u64 report_ns; /* and of the last event about it */
	__u32 identity;
	__u16 endpoint_id; /* 0: not on this node */
	__u8 flags_seen; /* TCP */
	__u8 flags_reported;
};

#define CONNECTION_VIA_STACK 0x01 /* its first packet came from the stack: replies go back there */
#define CONNECTION_REFUSED 0x02 /* policy took it back: only there for the sweep to report */
#define CONNECTION_OBSERVED 0x04 /* nobody judged it; it has places */

struct connection {
	struct bpf_spin_lock lock; /* of side, syn_ns, rtt_ns, origin, flags, telling, tag */
	__u32 revision; /* of the policy that it was judged by */
	struct connection_side side[2];
	__u64 syn_ns;
	__u32 rtt_ns; /* SYN -> SYN, ACK -> ACK; 0 unknown */
	union {
		struct {
			__u32 egress_cookie;
			__u32 ingress_cookie;
		};
		__u32 place[2]; /* observed: where each side's packets are counted, see place.h */
	};
	__u8 origin; /* the side that began: 0 low, 1 high */
	__u8 flags;
	__u16 telling; /* reports of it on their way into a ring: until then it stays */
	__u64 tag; /* of the key, 0 once taken out: last, since the map writes a new value in order */
};

/* Longest match on identity, direction, protocol and port; see policy.h. */
struct policy_key {
	__u32 prefix_bits; /* POLICY_EXACT_BITS + 0, 8 (protocol) or 9..24 (upper bits of the port) */
	__u32 endpoint_id;
	__u32 identity; /* of the peer, 0 any */
	__u8 direction; /* VERDICT_DIR_* */
	__u8 protocol; /* 0 any */
	__be16 port; /* of the destination; ICMP: the type */
};

#define POLICY_EXACT_BITS 72 /* endpoint, identity, direction */
#define POLICY_DENY 0x01
#define POLICY_AUDIT 0x02 /* a denial is only told, the packet passes */

struct policy_value {
	__u32 cookie; /* of the rules that it came from, 0 none */
	__be16 proxy_port; /* 0 until there is a proxy */
	__u8 prefix_bits; /* of protocol and port: 0, 8 or 9..24 */
	__u8 flags;
};

struct fragment_key {
	struct address source;
	struct address destination;
	__u32 id;
	__u8 protocol;
	__u8 pad[3];
};

struct fragment_value {
	__be16 source_port;
	__be16 destination_port;
	__be16 policy_port;
	__u8 icmp_code; /* of what is no question */
	__u8 pad;
};

#define SETTING_PER_PACKET 0x01
#define SETTING_DEBUG 0x02 /* tell the steps of each packet, see debug.h */

struct settings {
	__u64 report_interval_ns;
	__u32 revision; /* grows with each change of endpoints, identities or policy */
	__u32 flags;
};

#define SWEEP_REPORT 1 /* tell what no event has told yet */
#define SWEEP_REMOVE 2 /* the same, and remove it if nothing came since */
#define SWEEP_EVICT 3 /* the same, whatever came */
#define SWEEP_ADD 4 /* count packets and bytes of a side that programs of another layout saw */
#define SWEEP_MAX_REQUESTS 32

struct sweep_request {
	struct connection_key key;
	__u64 packets; /* of both sides, when it was decided; to add: those of the one */
	__u64 bytes; /* to add */
	__u32 action;
	__u32 side; /* to add to */
};

_Static_assert(sizeof(struct endpoint) == 56, "endpoint");
_Static_assert(sizeof(struct ipcache_key) == 24, "ipcache key");
_Static_assert(sizeof(struct connection_key) == 40, "connection key");
_Static_assert(sizeof(struct connection_side) == 56, "connection side");
_Static_assert(sizeof(struct connection) == 152, "connection");
_Static_assert(sizeof(struct policy_key) == 16, "policy key");
_Static_assert(sizeof(struct policy_value) == 8, "policy value");
_Static_assert(sizeof(struct sweep_request) == 64, "sweep request");

#endif
