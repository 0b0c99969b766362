/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Places, for interfaces that are only observed: one packet may come by several
 * of them (a container's, a bridge, the uplink), and must be counted once. So
 * each side of a connection has one place where its packets count, the first at
 * which one was seen, and all others pass it over. That needs no knowledge of
 * how the interfaces hang together. When the path changes (an interface went,
 * another one leads there now), the next packet after a short silence of the
 * place settles on a new one.
 *
 * A place is ifindex << 1 | PLACE_EGRESS; 0 is none.
 */
#ifndef LEAVITT_PLACE_H
#define LEAVITT_PLACE_H

#include "maps.h"

#define PLACE_EGRESS 1 /* what the node sends out of the interface, else what comes in */
/* above the time of a packet from one hook of the node to the next, below a user's patience */
#define PLACE_SILENT_NS 100000000ULL

static __always_inline u32 place_of(u32 ifindex, u32 hook)
{
	return ifindex << 1 | hook;
}

/* Whether packets of this sender count here; under the lock of its connection. */
static __always_inline bool place_counts(u32 *settled, const struct connection_side *sender,
					 u32 here, u64 now)
{
	if (*settled != here && (!*settled || now > sender->last_ns + PLACE_SILENT_NS))
		*settled = here;
	return *settled == here;
}

/* What flows call the place: an enum trace_point. */
static __always_inline u32 place_point(u32 place)
{
	u32 ifindex = place >> 1, egress = place & PLACE_EGRESS;
	struct endpoint *device = devices.lookup(&ifindex);
	u8 flags = device ? device->flags : 0;

	if (flags & DEVICE_HOST)
		return egress ? TRACE_FROM_HOST : TRACE_TO_HOST;
	if (flags & DEVICE_NETWORK)
		return egress ? TRACE_TO_NETWORK : TRACE_FROM_NETWORK;
	return egress ? TRACE_TO_ENDPOINT : TRACE_FROM_ENDPOINT;
}

#endif
