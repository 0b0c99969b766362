/* SPDX-License-Identifier: GPL-2.0 */
/*
 * May this packet pass in this direction of this endpoint? The order is that of
 * policy/lookup.py, which a test compares with this code:
 *
 *   1. An endpoint that does not enforce the direction lets everything pass,
 *      and nothing is told.
 *   2. The host reaches the endpoints of its node, as Kubernetes expects.
 *   3. Two look-ups, each the longest match on protocol and port: for the
 *      peer's identity, and for identity 0, which means any.
 *   4. A denial among the two wins. Both deny or both allow: the one with more
 *      bits of protocol and port decides, that of the peer's identity if equal.
 *      (Inside one identity user space has already let denials win.)
 *   5. Nothing matched: denied.
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

static __always_inline bool denies(const struct policy_value *value)
{
	return value && value->flags & POLICY_DENY;
}

static __always_inline struct policy_value *policy_deciding(struct policy_value *peer,
							    struct policy_value *any)
{
	if (!peer || !any)
		return peer ? peer : any;
	if (denies(peer) != denies(any))
		return denies(peer) ? peer : any;
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

	verdict->drop = 0;
	verdict->cookie = 0;
	verdict->flags = 0;
	verdict->match = MATCH_L3_ONLY;
	if (direction == VERDICT_DIR_INGRESS && identity == IDENTITY_HOST)
		return;
	any = policy_find(&key, IDENTITY_ANY);
	peer = identity == IDENTITY_ANY ? NULL : policy_find(&key, identity);
	decides = policy_deciding(peer, any);
	if (!decides) {
		verdict->match = MATCH_NONE;
		verdict->drop = DROP_AT(DROP_POLICY_DENIED, FILE_POLICY_H);
		return;
	}
	verdict->cookie = decides->cookie;
	verdict->match = match_type(decides->prefix_bits, decides == any);
	if (!denies(decides))
		return;
	if (decides->flags & POLICY_AUDIT)
		verdict->flags = VERDICT_FLAG_AUDIT;
	else
		verdict->drop = DROP_AT(DROP_POLICY_DENY, FILE_POLICY_H);
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
