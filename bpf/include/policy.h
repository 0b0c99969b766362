/* SPDX-License-Identifier: GPL-2.0 */
/*
 * May this packet pass in this direction of this endpoint? The order is that of
 * policy/lookup.py, which a test compares with this code:
 *
 *   1. An endpoint that does not enforce the direction lets everything pass,
 *      and nothing is told.
 *   2. Two look-ups, each the longest match on protocol and port: for the
 *      peer's identity, and for identity 0, which means any.
 *   3. The more severe of the two decides: a denial, then a denial that is only
 *      told, then an allowance. At a tie the one with more bits of protocol and
 *      port, that of the peer's identity if equal. (Inside one identity user
 *      space has left nothing below what is more severe.)
 *   4. Nothing matched: the host reaches the endpoints of its node, as
 *      Kubernetes expects.
 *   5. All else is denied; the entry of IDENTITY_NO_RULE says by whom, and
 *      whether that is only told.
 */
#ifndef LEAVITT_POLICY_H
#define LEAVITT_POLICY_H

#include "report.h"

#define PROTOCOL_BITS 8
#define PORT_BITS 16

struct verdict {
	__u32 drop; /* 0: passes */
	__u32 cookie;
	__u8 match;
	__u8 flags; /* VERDICT_FLAG_AUDIT */
};

static __always_inline struct policy_value *policy_find(struct policy_key *key, u32 identity)
{
	key->identity = identity;
	return policy.lookup(key);
}

static __always_inline u8 match_type(u8 prefix_bits, bool any_identity)
{
	if (prefix_bits == 0)
		return any_identity ? MATCH_ALL : MATCH_L3_ONLY;
	if (prefix_bits <= PROTOCOL_BITS)
		return any_identity ? MATCH_PROTO_ONLY : MATCH_L3_PROTO;
	return any_identity ? MATCH_L4_ONLY : MATCH_L3_L4;
}

/* 0 allows, 1 is a denial that is only told, 2 one that is done. */
static __always_inline u8 severity(const struct policy_value *value)
{
	if (!(value->flags & POLICY_DENY))
		return 0;
	return value->flags & POLICY_AUDIT ? 1 : 2;
}

static __always_inline struct policy_value *policy_deciding(struct policy_value *peer,
							    struct policy_value *any)
{
	if (!peer || !any)
		return peer ? peer : any;
	if (severity(peer) != severity(any))
		return severity(peer) > severity(any) ? peer : any;
	return any->prefix_bits > peer->prefix_bits ? any : peer;
}

static __always_inline void policy_judge(struct verdict *verdict, const struct packet *packet,
					 u32 endpoint_id, u32 identity, u8 direction)
{
	struct policy_key key = {
		.prefix_bits = POLICY_EXACT_BITS + PROTOCOL_BITS + PORT_BITS,
		.endpoint_id = endpoint_id,
		.direction = direction,
		.protocol = packet->protocol,
		.port = packet->policy_port,
	};
	struct policy_value *peer, *any, *decides;

	u32 reason = DROP_AT(DROP_POLICY_DENY, FILE_POLICY_H);

	verdict->drop = 0;
	verdict->cookie = 0;
	verdict->flags = 0;
	any = policy_find(&key, IDENTITY_ANY);
	peer = identity == IDENTITY_ANY ? NULL : policy_find(&key, identity);
	decides = policy_deciding(peer, any);
	if (decides) {
		verdict->match = match_type(decides->prefix_bits, decides == any);
	} else if (direction == VERDICT_DIR_INGRESS && identity == IDENTITY_HOST) {
		verdict->match = MATCH_L3_ONLY;
		return;
	} else {
		verdict->match = MATCH_NONE;
		reason = DROP_AT(DROP_POLICY_DENIED, FILE_POLICY_H);
		decides = policy_find(&key, IDENTITY_NO_RULE);
		if (!decides) {
			verdict->drop = reason;
			return;
		}
	}
	verdict->cookie = decides->cookie;
	if (severity(decides) == 1)
		verdict->flags = VERDICT_FLAG_AUDIT;
	else if (severity(decides))
		verdict->drop = reason;
}

static __always_inline void report_verdict(struct __sk_buff *skb, const struct packet *packet,
					   const struct verdict *verdict, u32 endpoint_id,
					   u32 identity, u8 direction)
{
	struct verdict_sample *sample = (struct verdict_sample *)sample_begin(SCRATCH_PACKET);

	if (!sample)
		return;
	sample->header.common.type = EVENT_POLICY_VERDICT;
	sample->header.common.source = endpoint_id;
	sample->header.common.version = VERDICT_VERSION;
	sample->header.remote_label = identity;
	sample->header.verdict = -(s32)DROP_AT_REASON(verdict->drop);
	sample->header.dst_port = bpf_ntohs(packet->policy_port);
	sample->header.proto = packet->protocol;
	sample->header.flags = direction | (packet->ipv6 ? VERDICT_FLAG_IPV6 : 0) |
			       verdict->match << VERDICT_MATCH_SHIFT | verdict->flags;
	sample->header.cookie = verdict->cookie;
	sample_capture(skb, &sample->header.common, &sample->ext, sample->packet);
	sample_send(skb, (struct sample *)sample, KIND_VERDICT);
}

#endif
