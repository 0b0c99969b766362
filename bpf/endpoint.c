/* SPDX-License-Identifier: GPL-2.0 */
/*
 * from_endpoint: tcx ingress of the host side, what a pod sends.
 * to_endpoint: tcx egress of the host side, what the stack delivers to a pod.
 * A packet from pod to pod of one node meets only the first, which judges for
 * both.
 *
 * Both emit: a verdict for each new connection in each enforced direction and
 * for each denial, a drop for each packet not passed, a trace for packets that
 * pass (conntrack.h says for which). Cost: about 170 ns a packet of a known
 * connection.
 *
 * When the connection map is full: a connection whose replies policy might
 * refuse is dropped (155), since half a connection helps nobody; any other
 * passes untracked and each of its packets is reported.
 */
#include "include/conntrack.h"
#include "include/debug.h"
#include "include/forward.h"
#include "include/identity.h"
#include "include/neighbour.h"
#include "include/policy.h"

/* A packet on its way: who, where to, and what is known of its connection. */
struct passage {
	struct packet packet;
	struct tuple tuple;
	struct parties parties;
	struct endpoint *from;   /* whose egress is judged here, or NULL */
	struct endpoint *to;   /* whose ingress is judged here, or NULL */
	struct connection *entry; /* NULL: untracked */
	struct settings *settings;
	__u64 now;
	__u32 egress_cookie;
	__u32 ingress_cookie;
	__u8 begin_flags; /* of a connection that begins with it */
	__u8 reason;
	__u8 to_stack; /* a reply that has to go back through the stack */
};

/* The endpoint that the program runs for. */
static __always_inline u32 own_endpoint(const struct passage *passage)
{
	if (passage->from)
		return passage->from->endpoint_id;
	return passage->to ? passage->to->endpoint_id : 0;
}

static __always_inline void name_parties(struct passage *passage)
{
	struct parties *parties = &passage->parties;

	if (passage->from) {
		parties->source_identity = passage->from->identity;
		parties->source_endpoint = passage->from->endpoint_id;
	} else {
		parties->source_identity = identity_of(&passage->packet.source);
	}
	if (passage->to) {
		parties->destination_identity = passage->to->identity;
		parties->destination_endpoint = passage->to->endpoint_id;
	} else {
		parties->destination_identity = identity_of(&passage->packet.destination);
	}
}

/* Judge one direction for one endpoint. It is told if it is news; a denial always, as a drop too. */
static __always_inline u32 judge(struct __sk_buff *skb, struct passage *passage, u32 endpoint_id,
				 u8 direction, bool is_new, u32 *cookie)
{
	const struct packet *packet = &passage->packet;
	u32 remote = direction == VERDICT_DIR_EGRESS ? passage->parties.destination_identity
						     : passage->parties.source_identity;
	struct verdict verdict;

	policy_judge(&verdict, packet, endpoint_id, remote, direction);
	*cookie = verdict.cookie;
	if (is_new || verdict.drop)
		report_verdict(skb, packet, &verdict, endpoint_id, remote, direction);
	if (!verdict.drop)
		return 0;
	debug(skb, passage->settings, endpoint_id, DEBUG_POLICY_DENIED,
	      passage->parties.source_identity, passage->parties.destination_identity);
	report_drop(skb, packet, &passage->parties, endpoint_id, verdict.drop, verdict.cookie);
	return verdict.drop;
}

static __always_inline u32 judge_both(struct __sk_buff *skb, struct passage *passage, bool is_new)
{
	u32 drop = 0;

	if (passage->from && passage->from->flags & ENDPOINT_ENFORCE_EGRESS)
		drop = judge(skb, passage, passage->from->endpoint_id, VERDICT_DIR_EGRESS, is_new,
			     &passage->egress_cookie);
	if (!drop && passage->to && passage->to->flags & ENDPOINT_ENFORCE_INGRESS)
		drop = judge(skb, passage, passage->to->endpoint_id, VERDICT_DIR_INGRESS, is_new,
			     &passage->ingress_cookie);
	return drop;
}

/*
 * Whether an ICMP error goes to the sender of a packet that belongs to a
 * connection: then it takes the way of a reply to that packet. (To anybody else
 * it would carry data past the policy.)
 */
static __always_inline bool passes_by_inner(struct __sk_buff *skb, struct passage *passage)
{
	struct connection *entry;
	struct packet inner = {};
	struct tuple tuple = {};

	if (!parse_inner(skb, &passage->packet, &inner) ||
	    !address_equal(&inner.source, &passage->packet.destination))
		return false;
	tuple_of(&tuple, &inner);
	entry = connection_find(&tuple);
	if (!entry || !connection_goes_on(entry, &inner))
		return false;
	passage->reason = TRACE_REASON_RELATED;
	passage->to_stack = entry->origin == tuple.side && entry->flags & CONNECTION_VIA_STACK;
	return true;
}

/* Keep what was judged; without an entry the packet goes untracked, or not at all. */
static __always_inline u32 remember(struct __sk_buff *skb, struct passage *passage, bool goes_on)
{
	struct connection *entry = passage->entry;
	u32 drop, endpoint_id;

	if (!entry)
		entry = connection_create(&passage->tuple, passage->now, passage->begin_flags);
	else if (!goes_on)
		connection_begin(entry, passage->tuple.tag, passage->tuple.side,
				 passage->begin_flags);
	passage->entry = entry;
	if (entry) {
		debug(skb, passage->settings, own_endpoint(passage),
		      passage->packet.ipv6 ? DEBUG_CT_CREATED6 : DEBUG_CT_CREATED4, 0,
		      passage->parties.source_identity);
		connection_name(entry, passage->tuple.side, &passage->parties);
		entry->egress_cookie = passage->egress_cookie;
		entry->ingress_cookie = passage->ingress_cookie;
		entry->revision = passage->settings->revision;
		return 0;
	}
	if (passage->from && passage->from->flags & ENDPOINT_ENFORCE_INGRESS)
		endpoint_id = passage->from->endpoint_id;
	else if (passage->to && passage->to->flags & ENDPOINT_ENFORCE_EGRESS)
		endpoint_id = passage->to->endpoint_id;
	else
		return 0;
	drop = DROP_AT(DROP_CT_MAP_INSERTION_FAILED, FILE_ENDPOINT_C);
	debug(skb, passage->settings, endpoint_id, DEBUG_ERROR_RET, DROP_AT_PLACE(drop), E2BIG);
	report_drop(skb, &passage->packet, &passage->parties, endpoint_id, drop, 0);
	return drop;
}

/* Look the connection up: whether the packet passes by what has been judged before. */
static __always_inline bool passes_by_connection(struct __sk_buff *skb, struct passage *passage,
						 bool *goes_on)
{
	struct connection *entry;
	bool reply;

	tuple_of(&passage->tuple, &passage->packet);
	entry = connection_find(&passage->tuple);
	passage->entry = entry;
	passage->now = connection_clock(entry, &passage->packet);
	if (!entry || !connection_goes_on(entry, &passage->packet))
		return false;
	*goes_on = true;
	reply = entry->origin != passage->tuple.side;
	passage->reason = reply ? TRACE_REASON_REPLY : TRACE_REASON_ESTABLISHED;
	passage->to_stack = reply && entry->flags & CONNECTION_VIA_STACK;
	connection_parties(entry, passage->tuple.side, &passage->parties);
	return reply || entry->revision == passage->settings->revision;
}

/* Let the packet pass by its connection or judge it: 0, or a drop that has been told. */
static __always_inline u32 admit(struct __sk_buff *skb, struct passage *passage)
{
	bool is_error = passage->packet.icmp_error;
	bool goes_on = false, passes;
	u32 drop;

	debug_lookup(skb, passage->settings, own_endpoint(passage), &passage->packet,
		     passage->from ? DEBUG_EGRESS : DEBUG_INGRESS);
	passes = is_error ? passes_by_inner(skb, passage)
			  : passes_by_connection(skb, passage, &goes_on);
	debug(skb, passage->settings, own_endpoint(passage), DEBUG_CT_VERDICT, passage->reason, 0);
	if (is_error || !passes)
		name_parties(passage);
	if (passes)
		return 0;
	drop = judge_both(skb, passage, !goes_on);
	if (drop && goes_on && passage->entry)
		connection_refuse(passage->entry);
	if (drop || is_error)
		return drop;
	return remember(skb, passage, goes_on);
}

/* Count a packet that passes, and tell it if that is due. */
static __always_inline void tell(struct __sk_buff *skb, struct passage *passage, u32 point,
				 u32 ifindex)
{
	struct report report = {
		.bytes = passage->packet.bytes,
		.packets = passage->packet.segments,
	};
	u32 counted = COUNTED_NOT;
	u32 reason = passage->reason;
	int error;

	count(point == TRACE_TO_ENDPOINT ? COUNTER_TO_ENDPOINT : COUNTER_TO_STACK);
	if (passage->entry)
		counted = connection_count(passage->entry, &passage->tuple, &passage->packet,
					   passage->settings, passage->now, 0, &report);
	else if (!passage->packet.icmp_error)
		count(COUNTER_UNTRACKED);
	if (counted == COUNTED_QUIETLY)
		return;
	if (counted == COUNTED_FIRST && reason == TRACE_REASON_ESTABLISHED)
		reason = TRACE_REASON_NEW;
	error = report_trace(skb, &passage->packet, &passage->parties, point, reason, ifindex,
			     &report);
	if (counted != COUNTED_NOT && passage->entry)
		connection_told(passage->entry, &passage->tuple, &report, !error);
}

static __always_inline int refuse(struct __sk_buff *skb, struct passage *passage, u32 endpoint_id,
				  u32 drop)
{
	report_drop(skb, &passage->packet, &passage->parties, endpoint_id, drop, 0);
	return TC_ACT_SHOT;
}

static __always_inline bool source_is_own(const struct packet *packet,
					  const struct endpoint *endpoint)
{
	if (!packet->ipv6)
		return address_equal(&packet->source, &endpoint->ipv4);
	return packet->source.word[0] && address_equal(&packet->source, &endpoint->ipv6);
}

/* On to the endpoint on this node if there is one, else up the stack. */
static __always_inline int send_on(struct __sk_buff *skb, struct passage *passage)
{
	struct endpoint *to = passage->to;
	u32 drop;

	if (!to || passage->to_stack || passage->packet.ttl <= 1) {
		debug(skb, passage->settings, passage->from->endpoint_id, DEBUG_TO_STACK,
		      passage->reason == TRACE_REASON_REPLY ||
			      passage->reason == TRACE_REASON_RELATED,
		      0);
		tell(skb, passage, TRACE_TO_STACK, skb->ifindex);
		return TC_ACT_OK;
	}
	debug(skb, passage->settings, passage->from->endpoint_id, DEBUG_LOCAL_DELIVERY,
	      to->endpoint_id, passage->parties.source_identity);
	drop = forward_rewrite(skb, &passage->packet, to);
	if (drop) {
		debug(skb, passage->settings, to->endpoint_id, DEBUG_ERROR_RET, DROP_AT_PLACE(drop),
		      EFAULT);
		return refuse(skb, passage, to->endpoint_id, drop);
	}
	tell(skb, passage, TRACE_TO_ENDPOINT, to->ifindex);
	return bpf_redirect_peer(to->ifindex, 0);
}

int from_endpoint(struct __sk_buff *skb)
{
	struct passage passage = {};
	u32 ifindex = skb->ifindex, first = 0, drop;

	passage.settings = settings_map.lookup(&first);
	passage.from = devices.lookup(&ifindex);
	if (!passage.settings || !passage.from) {
		parse_size(skb, &passage.packet);
		return refuse(skb, &passage, 0, DROP_AT(DROP_ENDPOINT_NOT_READY, FILE_ENDPOINT_C));
	}
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return answer_arp(skb, passage.from);
	passage.parties.source_identity = passage.from->identity;
	passage.parties.source_endpoint = passage.from->endpoint_id;
	drop = parse(skb, &passage.packet);
	if (drop)
		return refuse(skb, &passage, passage.from->endpoint_id, drop);
	if (is_link_control(&passage.packet) && stays_on_link(&passage.packet)) {
		if (pretends_to_route(&passage.packet))
			return refuse(skb, &passage, passage.from->endpoint_id,
				      DROP_AT(DROP_FORBIDDEN_ICMPV6_MESSAGE, FILE_ENDPOINT_C));
		if (passage.packet.icmp_type == ICMPV6_NEIGHBOUR_SOLICIT) {
			debug_solicitation(skb, passage.settings, passage.from->endpoint_id,
					   &passage.packet);
			return answer_solicitation(skb, &passage.packet, passage.from);
		}
		return link_control();
	}
	if (!source_is_own(&passage.packet, passage.from))
		return refuse(skb, &passage, passage.from->endpoint_id,
			      DROP_AT(DROP_INVALID_SOURCE_IP, FILE_ENDPOINT_C));
	passage.to = endpoints.lookup(&passage.packet.destination);
	if (admit(skb, &passage))
		return TC_ACT_SHOT;
	return send_on(skb, &passage);
}

int to_endpoint(struct __sk_buff *skb)
{
	struct passage passage = {};
	u32 ifindex = skb->ifindex, first = 0, drop;

	passage.settings = settings_map.lookup(&first);
	passage.to = devices.lookup(&ifindex);
	if (!passage.settings || !passage.to) {
		parse_size(skb, &passage.packet);
		return refuse(skb, &passage, 0, DROP_AT(DROP_ENDPOINT_NOT_READY, FILE_ENDPOINT_C));
	}
	/* what the host says on the link is its own affair */
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return link_control();
	passage.parties.destination_identity = passage.to->identity;
	passage.parties.destination_endpoint = passage.to->endpoint_id;
	passage.begin_flags = CONNECTION_VIA_STACK;
	drop = parse(skb, &passage.packet);
	if (drop)
		return refuse(skb, &passage, passage.to->endpoint_id, drop);
	if (is_link_control(&passage.packet))
		return link_control();
	if (admit(skb, &passage))
		return TC_ACT_SHOT;
	debug(skb, passage.settings, passage.to->endpoint_id, DEBUG_LOCAL_DELIVERY,
	      passage.to->endpoint_id, passage.parties.source_identity);
	tell(skb, &passage, TRACE_TO_ENDPOINT, ifindex);
	return TC_ACT_OK;
}
