/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ICMP and ICMPv6: which messages belong together, and of which packet an error
 * speaks.
 *
 * A question and its answers are one connection: addresses, type of the
 * question and the id of who asks, which stands where a source port would.
 * Every other message is a one-way connection of its type, code and sender, so
 * that nothing passes since something else did. Errors belong to no connection
 * of their own: they pass by that of the packet that they speak of.
 */
#ifndef LEAVITT_ICMP_H
#define LEAVITT_ICMP_H

#include "packet.h"

#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_ECHO_REQUEST 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMP_TIMESTAMP 13
#define ICMP_INFORMATION 15
#define ICMP_ADDRESS_MASK 17
#define ICMP_EXTENDED_ECHO 42
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_PARAMETER_PROBLEM 4
#define ICMPV6_ECHO 128
#define ICMPV6_LISTENER_FIRST 130
#define ICMPV6_LISTENER_LAST 132
#define ICMPV6_ROUTER_SOLICIT 133
#define ICMPV6_ROUTER_ADVERT 134
#define ICMPV6_NEIGHBOUR_SOLICIT 135
#define ICMPV6_REDIRECT 137
#define ICMPV6_NODE_INFORMATION 139
#define ICMPV6_LISTENER_V2 143
#define ICMPV6_EXTENDED_ECHO 160

struct icmp_start {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 id;
	__be16 sequence;
};

static __always_inline bool icmp_asks(bool ipv6, u8 type)
{
	if (ipv6)
		return type == ICMPV6_ECHO || type == ICMPV6_NODE_INFORMATION ||
		       type == ICMPV6_EXTENDED_ECHO;
	return type == ICMP_ECHO_REQUEST || type == ICMP_TIMESTAMP || type == ICMP_INFORMATION ||
	       type == ICMP_ADDRESS_MASK || type == ICMP_EXTENDED_ECHO;
}

/* The type that answers this question: the next one, but for the oldest of all. */
static __always_inline u8 icmp_answer(bool ipv6, u8 question)
{
	return !ipv6 && question == ICMP_ECHO_REQUEST ? ICMP_ECHO_REPLY : question + 1;
}

/* The question that this type answers, 0 if none: no question has that number. */
static __always_inline u8 icmp_question(bool ipv6, u8 type)
{
	u8 question = !ipv6 && type == ICMP_ECHO_REPLY ? ICMP_ECHO_REQUEST : type - 1;

	return icmp_asks(ipv6, question) && icmp_answer(ipv6, question) == type ? question : 0;
}

/* Say which connection the message belongs to. */
static __always_inline void icmp_belongs(struct packet *packet, u8 type, u8 code, __be16 id)
{
	u8 question = icmp_question(packet->ipv6, type);

	packet->icmp_role = ICMP_ROLE_SPEAKS;
	packet->icmp_talk = type;
	if (icmp_asks(packet->ipv6, type)) {
		packet->source_port = id;
	} else if (question) {
		packet->icmp_role = ICMP_ROLE_ANSWERS;
		packet->icmp_talk = question;
		packet->destination_port = id;
	} else {
		packet->icmp_code = code;
	}
}

static __always_inline bool icmp_is_error(bool ipv6, u8 type)
{
	if (ipv6)
		return type >= ICMPV6_UNREACHABLE && type <= ICMPV6_PARAMETER_PROBLEM;
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETER_PROBLEM;
}

static __always_inline u32 parse_icmp(struct __sk_buff *skb, struct packet *packet)
{
	struct icmp_start icmp;

	if (packet->l4_offset + sizeof(icmp) > packet->end ||
	    bpf_skb_load_bytes(skb, packet->l4_offset, &icmp, sizeof(icmp)))
		return DROP_AT(DROP_CT_TRUNCATED_HEADER, FILE_ICMP_H);
	packet->icmp_type = icmp.type;
	packet->policy_port = bpf_htons(icmp.type);
	packet->header_bytes = packet->l4_offset + sizeof(icmp);
	packet->icmp_error = icmp_is_error(packet->ipv6, icmp.type);
	icmp_belongs(packet, icmp.type, icmp.code, icmp.id);
	return 0;
}

/*
 * The packet that an ICMP error speaks of, as a packet of its own; false where
 * it cannot be told. Its ports are in the first 8 bytes that every error holds.
 * Extension headers inside an error are not followed.
 */
static __always_inline bool parse_inner(struct __sk_buff *skb, const struct packet *outer,
					struct packet *inner)
{
	u32 offset = outer->l4_offset + sizeof(struct icmp_start);
	struct icmp_start l4; /* ports stand where type, code and checksum do */

	if (outer->ipv6) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.version != 6)
			return false;
		ipv6_address(&inner->source, &ip.saddr);
		ipv6_address(&inner->destination, &ip.daddr);
		inner->protocol = ip.nexthdr;
		inner->ipv6 = 1;
		offset += sizeof(ip);
	} else {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.version != 4 ||
		    ip.ihl < 5)
			return false;
		ipv4_address(&inner->source, ip.saddr);
		ipv4_address(&inner->destination, ip.daddr);
		inner->protocol = ip.protocol;
		offset += ip.ihl * 4;
	}
	if (offset + sizeof(l4) > outer->end || bpf_skb_load_bytes(skb, offset, &l4, sizeof(l4)))
		return false;
	if (inner->protocol == PROTOCOL_ICMP || inner->protocol == PROTOCOL_ICMPV6) {
		icmp_belongs(inner, l4.type, l4.code, l4.id);
	} else {
		inner->source_port = (__be16)(l4.type | l4.code << 8);
		inner->destination_port = l4.checksum;
	}
	return true;
}

#endif
