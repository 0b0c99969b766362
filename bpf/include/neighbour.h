/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Neighbours: a pod knows only its gateway, and whatever address it asks for is
 * reached through the host side of its interface. So ARP requests and neighbour
 * solicitations are answered here with that side's MAC; nobody else sees them.
 * What a pod asks or says about its own address (duplicate address detection,
 * announcements) and other talk of the link (MLD, IGMP, router solicitations)
 * goes to the stack without an event: it is no flow, and a quiet pod is quiet.
 */
#ifndef LEAVITT_NEIGHBOUR_H
#define LEAVITT_NEIGHBOUR_H

#include "identity.h"
#include "report.h"

#define ARP_OPERATION_REQUEST 1
#define ARP_OPERATION_REPLY 2
#define ADVERTISEMENT_FLAGS 0x60 /* solicited, override */
#define ICMPV6_NEIGHBOUR_ADVERT 136
#define OPTION_TARGET_ADDRESS 2
#define HOP_LIMIT_OF_THE_LINK 255

struct arp_body {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_bytes;
	__u8 protocol_bytes;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender_ip[4];
	__u8 target_mac[6];
	__u8 target_ip[4];
} __attribute__((packed));

struct advertisement {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u8 flags;
	__u8 reserved[3];
	struct address target;
	__u8 option;
	__u8 option_words;
	__u8 mac[6];
} __attribute__((packed));

/* What the checksum of ICMPv6 covers beside the message. */
struct pseudo_header {
	struct address source;
	struct address destination;
	__be32 length;
	__be32 protocol;
};

static __always_inline int link_control(void)
{
	count(COUNTER_LINK_CONTROL);
	return TC_ACT_OK;
}

/* Send the frame back to where it came from, from the host side's MAC. */
static __always_inline int answer(struct __sk_buff *skb, const struct endpoint *endpoint)
{
	__u8 macs[12];

	if (bpf_skb_load_bytes(skb, 6, macs, 6))
		return TC_ACT_SHOT;
	__builtin_memcpy(macs + 6, endpoint->host_mac, 6);
	if (bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0))
		return TC_ACT_SHOT;
	count(COUNTER_NEIGHBOUR_ANSWERED);
	return bpf_redirect(skb->ifindex, 0);
}

static __always_inline int answer_arp(struct __sk_buff *skb, const struct endpoint *endpoint)
{
	struct arp_body arp;
	struct address target;
	__u8 sender[10];

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp)) || arp.hardware != bpf_htons(1) ||
	    arp.protocol != bpf_htons(ETH_P_IP) ||
	    arp.operation != bpf_htons(ARP_OPERATION_REQUEST))
		return link_control();
	__builtin_memcpy(sender, arp.sender_mac, sizeof(sender));
	ipv4_address(&target, *(__be32 *)arp.target_ip);
	/* a probe or announcement of its own address */
	if (address_equal(&target, &endpoint->ipv4) || !*(__be32 *)arp.sender_ip)
		return link_control();
	arp.operation = bpf_htons(ARP_OPERATION_REPLY);
	__builtin_memcpy(arp.sender_mac, endpoint->host_mac, 6);
	__builtin_memcpy(arp.sender_ip, arp.target_ip, 4);
	__builtin_memcpy(arp.target_mac, sender, sizeof(sender));
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &arp, sizeof(arp), 0))
		return TC_ACT_SHOT;
	return answer(skb, endpoint);
}

static __always_inline u16 checksum_fold(s64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

/* Solicitations have the length of the answer or lack its option: the frame is cut to size. */
static __always_inline int answer_solicitation(struct __sk_buff *skb, const struct packet *packet,
					       const struct endpoint *endpoint)
{
	struct advertisement message = {};
	struct pseudo_header pseudo = {};
	__be16 payload_bytes = bpf_htons(sizeof(message));
	__u8 hop_limit = HOP_LIMIT_OF_THE_LINK;
	s64 sum;

	if (packet->l4_offset != ETH_HLEN + sizeof(struct ipv6hdr) || !packet->source.word[0] ||
	    packet->l4_offset + 8 + sizeof(message.target) > packet->end ||
	    bpf_skb_load_bytes(skb, packet->l4_offset + 8, &message.target, 16) ||
	    address_equal(&message.target, &endpoint->ipv6))
		return link_control();
	message.type = ICMPV6_NEIGHBOUR_ADVERT;
	message.flags = ADVERTISEMENT_FLAGS;
	message.option = OPTION_TARGET_ADDRESS;
	message.option_words = 1;
	__builtin_memcpy(message.mac, endpoint->host_mac, 6);
	pseudo.source = message.target;
	pseudo.destination = packet->source;
	pseudo.length = bpf_htonl(sizeof(message));
	pseudo.protocol = bpf_htonl(PROTOCOL_ICMPV6);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&message, sizeof(message), sum);
	message.checksum = checksum_fold(sum);
	if (bpf_skb_change_tail(skb, packet->l4_offset + sizeof(message), 0) ||
	    bpf_skb_store_bytes(skb, packet->l4_offset, &message, sizeof(message), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, saddr), &pseudo, 32, 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, payload_len),
				&payload_bytes, sizeof(payload_bytes), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, hop_limit), &hop_limit,
				sizeof(hop_limit), 0))
		return TC_ACT_SHOT;
	return answer(skb, endpoint);
}

static __always_inline bool is_ipv6_of_the_link(const struct address *address)
{
	const __u8 *byte = (const __u8 *)address;

	return byte[0] == 0xff || (byte[0] == 0xfe && (byte[1] & 0xc0) == 0x80);
}

/*
 * Talk of the link, which no policy judges. No router passes it on: neighbour
 * discovery counts only with 255 hops, the rest goes to groups.
 */
static __always_inline bool is_link_control(const struct packet *packet)
{
	u8 type = packet->icmp_type;

	if (packet->protocol == PROTOCOL_IGMP)
		return true; /* parse.h has looked at the destination */
	if (packet->protocol != PROTOCOL_ICMPV6)
		return false;
	if (type >= ICMPV6_ROUTER_SOLICIT && type <= ICMPV6_REDIRECT)
		return packet->ttl == HOP_LIMIT_OF_THE_LINK;
	return ((type >= ICMPV6_LISTENER_FIRST && type <= ICMPV6_LISTENER_LAST) ||
		type == ICMPV6_LISTENER_V2) &&
	       is_ipv6_of_the_link(&packet->destination);
}

/* A pod may write 255 hops to anywhere: what would leave the link is a packet like any other. */
static __always_inline bool stays_on_link(const struct packet *packet)
{
	return packet->protocol == PROTOCOL_IGMP || is_ipv6_of_the_link(&packet->destination) ||
	       identity_of(&packet->destination) == IDENTITY_HOST;
}

/* Router advertisements and redirects are not for pods to send. */
static __always_inline bool pretends_to_route(const struct packet *packet)
{
	return packet->icmp_type == ICMPV6_ROUTER_ADVERT || packet->icmp_type == ICMPV6_REDIRECT;
}

#endif
