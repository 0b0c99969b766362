/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Names of the per-CPU counters. Python reads this file for the names: a line
 * here is all that a new counter needs. Events of all kinds stand in the
 * same order in each group: the index is the group's first + event_kind.
 */
#ifndef LEAVITT_COUNTERS_H
#define LEAVITT_COUNTERS_H

enum event_kind {
	KIND_DROP,
	KIND_TRACE,
	KIND_VERDICT,
	KIND_DEBUG,
};

enum counter {
	COUNTER_PRODUCED_DROP, /* events written or tried */
	COUNTER_PRODUCED_TRACE,
	COUNTER_PRODUCED_VERDICT,
	COUNTER_PRODUCED_DEBUG,
	COUNTER_FULL_DROP, /* of these: the ring was full */
	COUNTER_FULL_TRACE,
	COUNTER_FULL_VERDICT,
	COUNTER_FULL_DEBUG,
	COUNTER_UNREAD_DROP, /* of these: nobody has a ring on this CPU */
	COUNTER_UNREAD_TRACE,
	COUNTER_UNREAD_VERDICT,
	COUNTER_UNREAD_DEBUG,
	COUNTER_TO_ENDPOINT, /* packets passed on */
	COUNTER_TO_STACK,
	COUNTER_DROPPED,
	COUNTER_LINK_CONTROL, /* neighbour discovery, MLD, IGMP, ARP passed without an event */
	COUNTER_NEIGHBOUR_ANSWERED,
	COUNTER_CONNECTION_OPENED,
	COUNTER_CONNECTION_REMOVED,
	COUNTER_UNTRACKED, /* packets passed without an entry since the map was full */
	COUNTER_UNREADABLE, /* observed: packets passed that are no IP packet or a broken one */
	COUNTER_MAX,
};

#endif
