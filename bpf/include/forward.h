/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Forwarding: a packet for an endpoint of this node goes straight into its
 * namespace by bpf_redirect_peer, which skips the egress hook of its interface;
 * everything else goes up the stack. Whose hops are used up goes to the stack
 * as well, which answers with "time exceeded": traceroute shows the node.
 */
#ifndef LEAVITT_FORWARD_H
#define LEAVITT_FORWARD_H

#include "report.h"

/* Take one hop and write the endpoint's MACs: 0 or a drop. */
static __always_inline u32 forward_rewrite(struct __sk_buff *skb, const struct packet *packet,
					   struct endpoint *to)
{
	u32 ttl_offset = ETH_HLEN + (packet->ipv6 ? offsetof(struct ipv6hdr, hop_limit)
						  : offsetof(struct iphdr, ttl));
	u8 ttl = packet->ttl - 1;

	if (!packet->ipv6 &&
	    bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check),
				bpf_htons(packet->ttl << 8), bpf_htons(ttl << 8), 2))
		return DROP_AT(DROP_ERROR_WRITING_TO_PACKET, FILE_FORWARD_H);
	/* mac and host_mac stand as destination and source do in a frame */
	if (bpf_skb_store_bytes(skb, ttl_offset, &ttl, sizeof(ttl), 0) ||
	    bpf_skb_store_bytes(skb, 0, to->mac, 12, 0))
		return DROP_AT(DROP_ERROR_WRITING_TO_PACKET, FILE_FORWARD_H);
	/* a pod that addressed the frame to somebody else: the peer would ignore it */
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return 0;
}

#endif
