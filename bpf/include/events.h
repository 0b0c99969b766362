/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ABI between the programs and user space: what a sample in a perf ring
 * holds. It is the only header that both sides know; observer/decode/layout.py
 * mirrors it and a test compares every offset.
 *
 * A sample is    header (by type and version) + ext (32) + packet (128)
 * at the start of one fixed size, so that a batch of samples is one strided
 * array. The packet begins at header length + ext length; len_cap says how many
 * of its bytes are real, the rest of the sample is zero.
 *
 * The headers are Hubble's own layouts (native byte order), so that recordings
 * and knowledge interoperate. What we add stands in `struct event_ext`
 * (ext_version 1), never in Hubble's fields. Debug messages and trace-sock have
 * neither ext nor packet.
 */
#ifndef LEAVITT_EVENTS_H
#define LEAVITT_EVENTS_H

#include <linux/types.h>

#define CAPTURE_BYTES 128
#define EXT_BYTES 32
#define SAMPLE_BYTES 216 /* 56 (trace, the longest header) + 32 + 128 */

enum event_type {
	EVENT_DROP = 1,
	EVENT_DEBUG = 2,
	EVENT_CAPTURE = 3,
	EVENT_TRACE = 4,
	EVENT_POLICY_VERDICT = 5,
	EVENT_TRACE_SOCK = 7,
};

#define DROP_VERSION 3
#define TRACE_VERSION 2
#define VERDICT_VERSION 1
#define EXT_VERSION 1

/* flags of drop and trace headers */
#define EVENT_FLAG_IPV6 0x01
#define EVENT_FLAG_L3_DEVICE 0x02
#define EVENT_FLAG_VXLAN 0x04
#define EVENT_FLAG_GENEVE 0x08

/* the verdict header packs its flags differently */
#define VERDICT_DIR_INGRESS 1
#define VERDICT_DIR_EGRESS 2
#define VERDICT_DIR_MASK 0x03
#define VERDICT_FLAG_IPV6 0x04
#define VERDICT_MATCH_SHIFT 3
#define VERDICT_MATCH_MASK 0x38
#define VERDICT_FLAG_AUDIT 0x40
#define VERDICT_FLAG_L3_DEVICE 0x80

/* flags of the ext */
#define EXT_FLAG_VLAN 0x01  /* vlan_tci holds the tag that skb metadata carried */
#define EXT_FLAG_SWEPT \
	0x02 /* no packet passed now: the sweep reports what a quiet connection still owed */
#define EXT_FLAG_OBSERVED \
	0x08 /* nobody judged: identities and endpoints are not told, user space knows them */

struct event_common {
	__u8 type;
	__u8 subtype; /* drop: reason; trace: observation point; verdict: 0 */
	__u16 source; /* endpoint id of the endpoint the program judged for */
	__u32 hash;   /* skb hash */
	__u32 len_orig;
	__u16 len_cap;
	__u8 version;
	__u8 ext_version;
};

struct event_drop {
	struct event_common common;
	__u32 src_label;
	__u32 dst_label;
	__u32 dst_id; /* endpoint id of the destination, 0 on egress */
	__u16 line;
	__u8 file;
	__s8 ext_error;
	__u32 ifindex;
	__u8 flags;
	__u8 pad[3];
	__u64 ip_trace_id;
};

struct event_trace {
	struct event_common common;
	__u32 src_label;
	__u32 dst_label;
	__u16 dst_id; /* endpoint id; proxy port at to-proxy */
	__u8 reason;
	__u8 flags;
	__u32 ifindex;
	__u8 orig_ip[16];
	__u64 ip_trace_id;
};

struct event_verdict {
	struct event_common common;
	__u32 remote_label;
	__s32 verdict; /* < 0: minus the drop reason; 0: allowed; > 0: proxy port */
	__u16 dst_port; /* host order */
	__u8 proto;
	__u8 flags;
	__u8 auth_type;
	__u8 pad[3];
	__u32 cookie; /* of the rule that decided, 0 where none did */
	__u32 pad2;
};

/* what the arguments are, the subtype says: debug.h */
struct event_debug {
	__u8 type;
	__u8 subtype;
	__u16 source;
	__u32 hash;
	__u32 arg1;
	__u32 arg2;
	__u32 arg3;
};

/* packed, as Hubble has it: the one exception to natural alignment */
struct event_trace_sock {
	__u8 type;
	__u8 xlate_point;
	__u8 dst_ip[16];
	__u16 dst_port;
	__u64 sock_cookie;
	__u64 cgroup_id;
	__u8 l4_proto;
	__u8 flags;
} __attribute__((packed));

/* Counts are those of the packet's direction since the last report, this packet included; verdicts carry none. */
struct event_ext {
	__u64 bytes; /* on the wire, Ethernet header included */
	__u32 packets; /* segments: a GSO packet counts gso_segs */
	__u32 rule_cookie; /* of the rule that decided (drops), 0 where none did */
	__u32 rtt_ns; /* SYN -> ACK of the handshake, saturating; 0 unknown */
	__u16 vlan_tci;
	__u8 flags;
	__u8 pad;
	__u64 pad2;
};

_Static_assert(sizeof(struct event_common) == 16, "capture header");
_Static_assert(sizeof(struct event_drop) == 48, "DropNotify v3");
_Static_assert(sizeof(struct event_trace) == 56, "TraceNotify v2");
_Static_assert(sizeof(struct event_verdict) == 40, "PolicyVerdictNotify v1");
_Static_assert(sizeof(struct event_debug) == 20, "DebugMsg");
_Static_assert(sizeof(struct event_trace_sock) == 38, "TraceSockNotify");
_Static_assert(sizeof(struct event_ext) == EXT_BYTES, "ext version 1");
_Static_assert(sizeof(struct event_trace) + EXT_BYTES + CAPTURE_BYTES == SAMPLE_BYTES, "sample");

/* where a drop happened: struct event_drop.file; ids up to 115 are Hubble's own files, ours begin at 200 */
#define FILE_ENDPOINT_C 200
#define FILE_PARSE_H 201
#define FILE_POLICY_H 202
#define FILE_CONNTRACK_H 203
#define FILE_FORWARD_H 204
#define FILE_NEIGHBOUR_H 205
#define FILE_ICMP_H 206

#endif
