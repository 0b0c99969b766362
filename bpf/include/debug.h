/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Debug messages: what a program does with a packet, step by step, for whoever
 * looks for the reason. A switch of the settings; off, a step costs one test of
 * a flag that is in the cache already. On, each costs about 60 ns and a place in
 * the ring, several a packet. Types and arguments are those of Hubble's
 * flow.DebugEventType; observer/encode/debug_text.py puts them into words.
 */
#ifndef LEAVITT_DEBUG_H
#define LEAVITT_DEBUG_H

#include "report.h"

enum debug_type {
	DEBUG_LOCAL_DELIVERY = 2, /* endpoint, identity of the sender */
	DEBUG_POLICY_DENIED = 5, /* identities: sender, receiver */
	DEBUG_ICMP6_NS = 13, /* the first and the last word of the address asked for */
	DEBUG_CT_VERDICT = 15, /* enum trace_reason, service */
	DEBUG_ERROR_RET = 18, /* file and line, error */
	DEBUG_TO_STACK = 20, /* whether it passed as an answer, without being judged */
	DEBUG_CT_LOOKUP4_1 = 48, /* source, destination, ports */
	DEBUG_CT_LOOKUP4_2 = 49, /* protocol and flags, direction */
	DEBUG_CT_CREATED4 = 50, /* service, identity of the sender, address of the service */
	DEBUG_CT_LOOKUP6_1 = 51, /* as of IPv4, with the last words of the addresses */
	DEBUG_CT_LOOKUP6_2 = 52,
	DEBUG_CT_CREATED6 = 53,
};

enum debug_direction {
	DEBUG_EGRESS = 0,
	DEBUG_INGRESS = 1,
};

#define DEBUG_LOOKUP_RELATED 0x02 /* an error: by the packet that it speaks of */

static __always_inline bool debugs(const struct settings *settings)
{
	/* out of the way: what is off must not take room in the instruction cache */
	return __builtin_expect(settings->flags & SETTING_DEBUG, 0);
}

/* Write a message, whatever the switch says. endpoint: the one it is done for. */
static __always_inline void debug_write(struct __sk_buff *skb, u32 endpoint, u32 type, u32 arg1,
					u32 arg2, u32 arg3)
{
	u32 slot = SCRATCH_DEBUG;
	/* nobody else writes to it: behind the message it is zero for ever */
	struct event_debug *event = (struct event_debug *)scratch.lookup(&slot);

	if (!event)
		return;
	event->type = EVENT_DEBUG;
	event->subtype = type;
	event->source = endpoint;
	event->hash = bpf_get_hash_recalc(skb);
	event->arg1 = arg1;
	event->arg2 = arg2;
	event->arg3 = arg3;
	sample_send(skb, (struct sample *)event, KIND_DEBUG);
}

static __always_inline void debug(struct __sk_buff *skb, const struct settings *settings,
				  u32 endpoint, u32 type, u32 arg1, u32 arg2)
{
	if (debugs(settings))
		debug_write(skb, endpoint, type, arg1, arg2, 0);
}

/* The last word of an address: all of it if it is IPv4, as on the wire. */
static __always_inline u32 debug_word(const struct address *address)
{
	return address->word[1] >> 32;
}

static __always_inline void debug_lookup(struct __sk_buff *skb, const struct settings *settings,
					 u32 endpoint, const struct packet *packet, u32 direction)
{
	u32 ports = (u32)bpf_ntohs(packet->source_port) << 16 | bpf_ntohs(packet->destination_port);
	u32 flags = packet->icmp_error ? DEBUG_LOOKUP_RELATED : 0;

	if (!debugs(settings))
		return;
	debug_write(skb, endpoint, packet->ipv6 ? DEBUG_CT_LOOKUP6_1 : DEBUG_CT_LOOKUP4_1,
		    debug_word(&packet->source), debug_word(&packet->destination), ports);
	debug_write(skb, endpoint, packet->ipv6 ? DEBUG_CT_LOOKUP6_2 : DEBUG_CT_LOOKUP4_2,
		    packet->protocol << 8 | flags, direction, 0);
}

static __always_inline void debug_solicitation(struct __sk_buff *skb,
					       const struct settings *settings, u32 endpoint,
					       const struct packet *packet)
{
	struct address target;

	if (!debugs(settings) ||
	    bpf_skb_load_bytes(skb, packet->l4_offset + 8, &target, sizeof(target)))
		return;
	debug_write(skb, endpoint, DEBUG_ICMP6_NS, bpf_ntohl((u32)target.word[0]),
		    bpf_ntohl(debug_word(&target)), 0);
}

#endif
