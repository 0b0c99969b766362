/* SPDX-License-Identifier: GPL-2.0 */
/*
 * from_endpoint, to_endpoint: ingress and egress of any interface with Ethernet
 * frames. They take the place of the programs in endpoint.c, hence the names.
 *
 * They only look: nothing here writes to a packet, drops, answers or sends one
 * elsewhere, whatever it holds, and whoever is attached behind sees it next.
 * Nothing is judged either: user space names both ends by their addresses.
 *
 * Both emit a trace for packets as conntrack.h says, each at one place only
 * (place.h); what has no IP addresses is counted, not told. An IP packet whose
 * ports cannot be told (GRE, a later fragment without its first) goes by its
 * addresses and protocol. When the connection map is full, packets of new
 * connections are counted as untracked and not told.
 */
#include "include/conntrack.h"
#include "include/debug.h"
#include "include/neighbour.h"

/* The first packet that is seen may be an answer: then the other side began. */
static __always_inline bool is_answer(const struct packet *packet)
{
	if (packet->protocol == PROTOCOL_TCP)
		return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
	return packet->icmp_role == ICMP_ROLE_ANSWERS;
}

static __always_inline bool has_addresses(u32 drop)
{
	u32 reason = DROP_AT_REASON(drop);

	return !drop || reason == DROP_CT_UNKNOWN_L4_PROTOCOL ||
	       reason == DROP_FIRST_FRAGMENT_NOT_FOUND;
}

/* The packet's connection, begun if need be: NULL if the map is full. */
static __always_inline struct connection *
connection_of(const struct packet *packet, struct tuple *tuple, struct connection *entry, u64 now)
{
	if (!entry) {
		u32 side = tuple->side;

		tuple->side ^= is_answer(packet);
		entry = connection_create(tuple, now, CONNECTION_OBSERVED);
		tuple->side = side;
	} else if (!connection_goes_on(entry, packet)) {
		connection_begin(entry, tuple->tag, tuple->side, CONNECTION_OBSERVED);
	}
	return entry;
}

static __always_inline u32 reason_of(const struct packet *packet, const struct tuple *tuple,
				     const struct connection *entry, u32 counted)
{
	if (packet->icmp_error)
		return TRACE_REASON_RELATED;
	if (entry->origin != tuple->side)
		return TRACE_REASON_REPLY;
	return counted == COUNTED_FIRST ? TRACE_REASON_NEW : TRACE_REASON_ESTABLISHED;
}

/* Count the packet if it counts here, and tell it if that is due. */
static __always_inline void follow(struct __sk_buff *skb, const struct packet *packet, u32 hook)
{
	const struct parties nobody = {};
	struct report report = {.flags = EXT_FLAG_OBSERVED};
	struct tuple tuple = {};
	struct connection *entry;
	struct settings *settings;
	u32 first = 0, place = place_of(skb->ifindex, hook), counted;
	int error;
	u64 now;

	settings = settings_map.lookup(&first);
	if (!settings)
		return;
	tuple_of(&tuple, packet);
	debug_lookup(skb, settings, 0, packet, hook == PLACE_EGRESS ? DEBUG_INGRESS : DEBUG_EGRESS);
	entry = connection_find(&tuple);
	if (!entry)
		debug(skb, settings, 0, packet->ipv6 ? DEBUG_CT_CREATED6 : DEBUG_CT_CREATED4, 0, 0);
	now = connection_clock(entry, packet);
	entry = connection_of(packet, &tuple, entry, now);
	if (!entry) {
		count(COUNTER_UNTRACKED);
		return;
	}
	counted = connection_count(entry, &tuple, packet, settings, now, place, &report);
	if (counted == COUNTED_NOT)
		return;
	count(hook == PLACE_EGRESS ? COUNTER_TO_ENDPOINT : COUNTER_TO_STACK);
	if (counted == COUNTED_QUIETLY)
		return;
	error = report_trace(skb, packet, &nobody, place_point(place),
			     reason_of(packet, &tuple, entry, counted), skb->ifindex, &report);
	connection_told(entry, &tuple, &report, !error);
}

static __always_inline int observe(struct __sk_buff *skb, u32 hook)
{
	struct packet packet = {};

	if (skb->protocol == bpf_htons(ETH_P_ARP)) {
		count(COUNTER_LINK_CONTROL);
		return TC_ACT_UNSPEC;
	}
	if (!has_addresses(parse(skb, &packet)))
		count(COUNTER_UNREADABLE);
	else if (is_link_control(&packet))
		count(COUNTER_LINK_CONTROL);
	else
		follow(skb, &packet, hook);
	return TC_ACT_UNSPEC;
}

int from_endpoint(struct __sk_buff *skb)
{
	return observe(skb, 0);
}

int to_endpoint(struct __sk_buff *skb)
{
	return observe(skb, PLACE_EGRESS);
}
