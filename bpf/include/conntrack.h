/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Connections: one entry for both directions, found by one look-up of the
 * normalised 5-tuple. It says who began, by which revision of the policy it was
 * judged, and counts what each side sent and what of that events have told.
 *
 * Counts change under the entry's lock, so that "since the last report" is
 * exact when two CPUs carry one connection. An entry's memory may be given to
 * another connection while a packet still holds a pointer to it: the tag, set
 * from the key and checked under the lock, tells. A sample that could not be
 * written gives its counts back, and the next one tells them: so an entry stays
 * while a report of it is on its way (telling).
 *
 * Nothing is removed here: an entry that policy took back is marked REFUSED and
 * counts for nothing; the sweep (sweep.c) reports what it still owes and removes.
 */
#ifndef LEAVITT_CONNTRACK_H
#define LEAVITT_CONNTRACK_H

#include "place.h"
#include "report.h"

#define TAG_FACTOR_A 0x9e3779b97f4a7c15ULL
#define TAG_FACTOR_B 0xc2b2ae3d27d4eb4fULL

struct tuple {
	struct connection_key key;
	__u64 tag;
	__u32 side; /* of the packet's sender: 0 low, 1 high */
};

/* Never 0, which is none. */
static __always_inline u64 tag_of(const struct connection_key *key)
{
	return ((key->low.word[0] ^ key->high.word[1]) * TAG_FACTOR_A ^
		(key->low.word[1] ^ key->high.word[0]) * TAG_FACTOR_B ^
		((u64)key->low_port << 48 | (u64)key->high_port << 32 | (u64)key->icmp_code << 24 |
		 (u64)key->icmp_talk << 16 | (u64)key->protocol << 8 | key->icmp_speaker << 1)) |
	       1;
}

static __always_inline bool source_is_high(const struct packet *packet)
{
	const struct address *a = &packet->source, *b = &packet->destination;

	if (a->word[0] != b->word[0])
		return a->word[0] > b->word[0];
	if (a->word[1] != b->word[1])
		return a->word[1] > b->word[1];
	return packet->source_port > packet->destination_port;
}

static __always_inline void tuple_of(struct tuple *tuple, const struct packet *packet)
{
	struct connection_key *key = &tuple->key;

	tuple->side = source_is_high(packet);
	if (tuple->side) {
		key->low = packet->destination;
		key->low_port = packet->destination_port;
		key->high = packet->source;
		key->high_port = packet->source_port;
	} else {
		key->low = packet->source;
		key->low_port = packet->source_port;
		key->high = packet->destination;
		key->high_port = packet->destination_port;
	}
	key->protocol = packet->protocol;
	key->icmp_talk = packet->icmp_talk;
	key->icmp_code = packet->icmp_code;
	if (packet->icmp_role)
		key->icmp_speaker =
			ICMP_SPEAKER_LOW + (tuple->side ^ (packet->icmp_role == ICMP_ROLE_ANSWERS));
	tuple->tag = tag_of(key);
}

static __always_inline bool is_closed(const struct connection *entry)
{
	return (entry->side[0].flags_seen | entry->side[1].flags_seen) & TCP_RST ||
	       entry->side[0].flags_seen & entry->side[1].flags_seen & TCP_FIN;
}

static __always_inline bool begins_tcp(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* The tuple's entry, NULL if there is none or its memory is another's by now. */
static __always_inline struct connection *connection_find(const struct tuple *tuple)
{
	struct connection *entry = connections.lookup((struct connection_key *)&tuple->key);

	if (entry && entry->tag != tuple->tag)
		entry = NULL;
	/* else the compiler mixes this test with later ones, and the verifier loses its way */
	asm volatile("" : "+r"(entry));
	return entry;
}

/* Whether the packet belongs to the connection of this entry; else a new one begins with it. */
static __always_inline bool connection_goes_on(const struct connection *entry,
					       const struct packet *packet)
{
	return !(entry->flags & CONNECTION_REFUSED) && !(begins_tcp(packet) && is_closed(entry));
}

/* Let a connection begin in an old one's entry; what that still owes goes with the next reports. */
static __always_inline void connection_begin(struct connection *entry, u64 tag, u32 side, u8 flags)
{
	bpf_spin_lock(&entry->lock);
	if (entry->tag == tag) {
		entry->side[0].flags_seen = 0;
		entry->side[0].flags_reported = 0;
		entry->side[1].flags_seen = 0;
		entry->side[1].flags_reported = 0;
		entry->side[0].report_ns = 0;
		entry->side[1].report_ns = 0;
		entry->syn_ns = 0;
		entry->rtt_ns = 0;
		entry->origin = side;
		entry->flags = flags;
	}
	bpf_spin_unlock(&entry->lock);
}

/* Take a connection back: nothing passes by it any more. */
static __always_inline void connection_refuse(struct connection *entry)
{
	bpf_spin_lock(&entry->lock);
	entry->flags |= CONNECTION_REFUSED;
	bpf_spin_unlock(&entry->lock);
}

/* A blank entry, found again after its creation: NULL if the map is full. */
static __always_inline struct connection *connection_create(const struct tuple *tuple, u64 now,
							    u8 flags)
{
	struct connection *blank = (struct connection *)sample_begin(SCRATCH_PACKET);
	int error;

	if (!blank)
		return NULL;
	blank->side[0].last_ns = now;
	blank->origin = tuple->side;
	blank->flags = flags;
	blank->tag = tuple->tag;
	error = connections.insert((struct connection_key *)&tuple->key, blank);
	if (!error)
		count(COUNTER_CONNECTION_OPENED);
	/* another CPU may have been first: its entry serves as well */
	return connections.lookup((struct connection_key *)&tuple->key);
}

/* Reading the exact clock costs 30 ns: only a handshake needs it, ticks do for the rest. */
static __always_inline u64 connection_clock(const struct connection *entry,
					    const struct packet *packet)
{
	bool shakes_hands =
		packet->tcp_flags & TCP_SYN || (entry && entry->syn_ns && !entry->rtt_ns);

	return shakes_hands ? bpf_ktime_get_ns() : bpf_ktime_get_coarse_ns();
}

/* SYN -> SYN, ACK -> ACK: begins with the last SYN before the answer. */
static __always_inline void connection_time(struct connection *entry, u32 side,
					    const struct packet *packet, u64 now)
{
	bool answered = entry->side[(side ^ 1) & 1].flags_seen & TCP_SYN;

	if (side != entry->origin || entry->rtt_ns)
		return;
	if (begins_tcp(packet) && !answered)
		entry->syn_ns = now;
	else if (answered && entry->syn_ns && packet->tcp_flags & TCP_ACK)
		entry->rtt_ns = now - entry->syn_ns < 0xffffffff ? now - entry->syn_ns : 0xffffffff;
}

enum counted {
	COUNTED_NOT, /* the entry is another's by now, or another place counts */
	COUNTED_QUIETLY,
	COUNTED_TO_REPORT,
	COUNTED_FIRST, /* to report, and the sender's first packet */
};

/*
 * Count the packet for its sender; if it is to be reported, take all that no
 * event has told. place: where this is, if only one place counts; else 0.
 */
static __always_inline u32 connection_count(struct connection *entry, const struct tuple *tuple,
					    const struct packet *packet,
					    const struct settings *settings, u64 now, u32 place,
					    struct report *report)
{
	struct connection_side *own = &entry->side[tuple->side & 1];
	u64 interval_ns = settings->report_interval_ns;
	bool every = settings->flags & SETTING_PER_PACKET;
	u8 told = packet->tcp_flags & TCP_TOLD;
	u32 counted = COUNTED_NOT;

	bpf_spin_lock(&entry->lock);
	if (entry->tag == tuple->tag &&
	    (!place || place_counts(&entry->place[tuple->side & 1], own, place, now))) {
		connection_time(entry, tuple->side, packet, now);
		own->packets += packet->segments;
		own->bytes += packet->bytes;
		own->last_ns = now;
		own->flags_seen |= packet->tcp_flags;
		counted = COUNTED_QUIETLY;
		if (!own->report_ns)
			counted = COUNTED_FIRST;
		else if (every || told & ~own->flags_reported ||
			 now >= own->report_ns +
					 interval_ns) /* the exact clock is ahead of ticks */
			counted = COUNTED_TO_REPORT;
		if (counted != COUNTED_QUIETLY) {
			report->packets = own->packets - own->reported_packets;
			report->bytes = own->bytes - own->reported_bytes;
			report->rtt_ns = entry->rtt_ns;
			own->reported_packets = own->packets;
			own->reported_bytes = own->bytes;
			own->report_ns = now;
			own->flags_reported |= told;
			entry->telling++;
		}
	}
	bpf_spin_unlock(&entry->lock);
	return counted;
}

/* What connection_count gave to report has been written, or has not: then the next one tells it. */
static __always_inline void connection_told(struct connection *entry, const struct tuple *tuple,
					    const struct report *report, bool written)
{
	struct connection_side *own = &entry->side[tuple->side & 1];

	bpf_spin_lock(&entry->lock);
	if (entry->tag == tuple->tag) {
		entry->telling--;
		if (!written) {
			own->reported_packets -= report->packets;
			own->reported_bytes -= report->bytes;
		}
	}
	bpf_spin_unlock(&entry->lock);
}

/* The sweep could not write what it took: its counts go into the next report. */
static __always_inline void connection_give_back(struct connection *entry, u64 tag, u32 side,
						 const struct report *report)
{
	struct connection_side *own = &entry->side[side & 1];

	bpf_spin_lock(&entry->lock);
	if (entry->tag == tag) {
		own->reported_packets -= report->packets;
		own->reported_bytes -= report->bytes;
	}
	bpf_spin_unlock(&entry->lock);
}

static __always_inline void connection_parties(const struct connection *entry, u32 side,
					       struct parties *parties)
{
	const struct connection_side *sender = &entry->side[side & 1];
	const struct connection_side *receiver = &entry->side[(side ^ 1) & 1];

	parties->source_identity = sender->identity;
	parties->source_endpoint = sender->endpoint_id;
	parties->destination_identity = receiver->identity;
	parties->destination_endpoint = receiver->endpoint_id;
}

static __always_inline void connection_name(struct connection *entry, u32 side,
					    const struct parties *parties)
{
	struct connection_side *sender = &entry->side[side & 1];
	struct connection_side *receiver = &entry->side[(side ^ 1) & 1];

	sender->identity = parties->source_identity;
	sender->endpoint_id = parties->source_endpoint;
	receiver->identity = parties->destination_identity;
	receiver->endpoint_id = parties->destination_endpoint;
}

#endif
