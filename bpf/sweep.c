/* SPDX-License-Identifier: GPL-2.0 */
/*
 * sweep: run by user space (BPF_PROG_TEST_RUN) with a packet of up to 32
 * requests behind SWEEP_HEADER_BYTES. For each it takes the counts that no event
 * has told, emits a trace per direction that has some (EXT_FLAG_SWEPT, headers
 * put together from the key), and then removes the connection if asked to and
 * nothing came meanwhile. What cannot be written is given back and stays. Also
 * adds counts that an earlier layout's programs leave behind (SWEEP_ADD).
 *
 * Returns reported events | removed connections << 8 | kept, asked to be
 * removed << 16.
 */
#include "include/conntrack.h"

#define SWEEP_HEADER_BYTES 16

/* The start of a packet as the sender would have sent it, as far as the key tells. */
struct made_ipv4 {
	struct ethhdr eth;
	struct iphdr ip;
	__u8 l4[20];
} __attribute__((packed));

struct made_ipv6 {
	struct ethhdr eth;
	struct ipv6hdr ip;
	__u8 l4[20];
} __attribute__((packed));

struct sender {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
};

static __always_inline void sender_of(struct sender *sender, const struct connection_key *key,
				      u32 side)
{
	sender->source = side ? key->high : key->low;
	sender->destination = side ? key->low : key->high;
	sender->source_port = side ? key->high_port : key->low_port;
	sender->destination_port = side ? key->low_port : key->high_port;
	sender->protocol = key->protocol;
	sender->icmp_type = key->icmp_talk;
	sender->icmp_code = key->icmp_code;
	if (key->icmp_speaker != ICMP_SPEAKER_LOW + side)
		sender->icmp_type = icmp_answer(key->protocol == PROTOCOL_ICMPV6, key->icmp_talk);
}

/* Bytes of the header in l4. */
static __always_inline u32 make_l4(__u8 *l4, const struct sender *sender)
{
	__be16 id = sender->source_port | sender->destination_port; /* one side has it */

	if (sender->protocol == PROTOCOL_ICMP || sender->protocol == PROTOCOL_ICMPV6) {
		l4[0] = sender->icmp_type;
		l4[1] = sender->icmp_code;
		__builtin_memcpy(l4 + 4, &id, sizeof(id));
		return sizeof(struct icmp_start);
	}
	__builtin_memcpy(l4, &sender->source_port, 2);
	__builtin_memcpy(l4 + 2, &sender->destination_port, 2);
	switch (sender->protocol) {
	case PROTOCOL_TCP:
		l4[12] = 0x50;
		l4[13] = sender->tcp_flags;
		return 20;
	case PROTOCOL_UDP:
		l4[5] = 8;
		return 8;
	}
	return 12; /* SCTP */
}

static __always_inline u32 make_packet(__u8 *bytes, const struct sender *sender)
{
	u32 l4_bytes;

	if (address_is_ipv4(&sender->source)) {
		struct made_ipv4 *made = (struct made_ipv4 *)bytes;

		l4_bytes = make_l4(made->l4, sender);
		made->eth.h_proto = bpf_htons(ETH_P_IP);
		made->ip.version = 4;
		made->ip.ihl = 5;
		made->ip.tot_len = bpf_htons(sizeof(made->ip) + l4_bytes);
		made->ip.protocol = sender->protocol;
		made->ip.saddr = sender->source.word[1] >> 32;
		made->ip.daddr = sender->destination.word[1] >> 32;
		return sizeof(made->eth) + sizeof(made->ip) + l4_bytes;
	} else {
		struct made_ipv6 *made = (struct made_ipv6 *)bytes;

		l4_bytes = make_l4(made->l4, sender);
		made->eth.h_proto = bpf_htons(ETH_P_IPV6);
		made->ip.version = 6;
		made->ip.payload_len = bpf_htons(l4_bytes);
		made->ip.nexthdr = sender->protocol;
		__builtin_memcpy(&made->ip.saddr, &sender->source, sizeof(sender->source));
		__builtin_memcpy(&made->ip.daddr, &sender->destination,
				 sizeof(sender->destination));
		return sizeof(made->eth) + sizeof(made->ip) + l4_bytes;
	}
}

static __always_inline void take(struct connection *entry, u64 tag, u32 side, u64 now,
				 struct report *report)
{
	struct connection_side *own = &entry->side[side & 1];

	bpf_spin_lock(&entry->lock);
	if (entry->tag == tag) {
		report->packets = own->packets - own->reported_packets;
		report->bytes = own->bytes - own->reported_bytes;
		report->rtt_ns = entry->rtt_ns;
		own->reported_packets = own->packets;
		own->reported_bytes = own->bytes;
		if (report->packets)
			own->report_ns = now;
	}
	bpf_spin_unlock(&entry->lock);
}

static __always_inline int emit(struct __sk_buff *skb, const struct connection_key *key,
				const struct connection *entry, u32 side,
				const struct report *report)
{
	struct trace_sample *sample = (struct trace_sample *)sample_begin(SCRATCH_SWEEP);
	struct sender sender = {};
	struct parties parties;
	u32 bytes;

	if (!sample)
		return -ENOENT;
	sender_of(&sender, key, side);
	sender.tcp_flags = entry->side[side & 1].flags_seen & ~TCP_TOLD;
	connection_parties(entry, side, &parties);
	bytes = make_packet(sample->packet, &sender);
	sample->header.common.type = EVENT_TRACE;
	sample->ext.flags = EXT_FLAG_SWEPT;
	if (entry->flags & CONNECTION_OBSERVED) {
		sample->ext.flags |= EXT_FLAG_OBSERVED;
		sample->header.common.subtype = place_point(entry->place[side & 1]);
		sample->header.ifindex = entry->place[side & 1] >> 1;
	} else {
		sample->header.common.subtype =
			parties.destination_endpoint ? TRACE_TO_ENDPOINT : TRACE_TO_STACK;
	}
	sample->header.common.source = parties.destination_endpoint ? parties.destination_endpoint
								    : parties.source_endpoint;
	sample->header.common.version = TRACE_VERSION;
	sample->header.common.ext_version = EXT_VERSION;
	sample->header.common.len_orig = bytes;
	sample->header.common.len_cap = bytes;
	sample->header.src_label = parties.source_identity;
	sample->header.dst_label = parties.destination_identity;
	sample->header.dst_id = parties.destination_endpoint;
	sample->header.reason =
		entry->origin == side ? TRACE_REASON_ESTABLISHED : TRACE_REASON_REPLY;
	sample->header.flags = address_is_ipv4(&key->low) ? 0 : EVENT_FLAG_IPV6;
	sample->ext.bytes = report->bytes;
	sample->ext.packets = report->packets;
	sample->ext.rtt_ns = report->rtt_ns;
	return sample_send(skb, (struct sample *)sample, KIND_TRACE);
}

/* Tell what one side still owes: events written, -1 if one could not be. */
static __always_inline int settle(struct __sk_buff *skb, const struct connection_key *key,
				  struct connection *entry, u64 tag, u32 side, u64 now)
{
	struct report report = {};

	take(entry, tag, side, now, &report);
	if (!report.packets)
		return 0;
	if (!emit(skb, key, entry, side, &report))
		return 1;
	connection_give_back(entry, tag, side, &report);
	return -1;
}

/* Mark the entry as taken out, unless there may be something to tell again or it went on. */
static __always_inline bool take_out(struct connection *entry, u64 tag,
				     const struct sweep_request *request)
{
	const struct connection_side *low = &entry->side[0], *high = &entry->side[1];
	bool evict = request->action == SWEEP_EVICT;
	bool taken = false;

	bpf_spin_lock(&entry->lock);
	if (entry->tag == tag && !entry->telling && low->packets == low->reported_packets &&
	    high->packets == high->reported_packets &&
	    (evict || low->packets + high->packets == request->packets)) {
		entry->tag = 0;
		taken = true;
	}
	bpf_spin_unlock(&entry->lock);
	return taken;
}

/* Count what programs of an earlier layout counted for this connection and did not tell. */
static __always_inline void add(struct connection *entry, u64 tag,
				const struct sweep_request *request)
{
	struct connection_side *own = &entry->side[request->side & 1];

	bpf_spin_lock(&entry->lock);
	if (entry->tag == tag) {
		own->packets += request->packets;
		own->bytes += request->bytes;
	}
	bpf_spin_unlock(&entry->lock);
}

int sweep(struct __sk_buff *skb)
{
	u32 events_written = 0, removed = 0, kept = 0;
	u64 now = bpf_ktime_get_ns();
	int i;

	for (i = 0; i < SWEEP_MAX_REQUESTS; i++) {
		struct sweep_request request;
		struct connection *entry;
		int low, high;
		u64 tag;

		if (bpf_skb_load_bytes(skb, SWEEP_HEADER_BYTES + i * sizeof(request), &request,
				       sizeof(request)))
			break;
		entry = connections.lookup(&request.key);
		if (!entry)
			continue;
		tag = tag_of(&request.key);
		if (request.action == SWEEP_ADD) {
			add(entry, tag, &request);
			continue;
		}
		low = settle(skb, &request.key, entry, tag, 0, now);
		high = settle(skb, &request.key, entry, tag, 1, now);
		events_written += (low > 0) + (high > 0);
		if (request.action == SWEEP_REPORT)
			continue;
		if (!take_out(entry, tag, &request)) {
			kept++;
			continue;
		}
		connections.delete(&request.key);
		count(COUNTER_CONNECTION_REMOVED);
		removed++;
	}
	return events_written | removed << 8 | kept << 16;
}
