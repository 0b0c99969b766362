/* SPDX-License-Identifier: GPL-2.0 */
/* Addresses -> identities, by the longest network that user space has told. */
#ifndef LEAVITT_IDENTITY_H
#define LEAVITT_IDENTITY_H

#include "parse.h"

#define ADDRESS_BITS 128
#define IPV4_BITS 32

static __always_inline u32 identity_of(const struct address *address)
{
	struct ipcache_key key = {};
	u32 *identity;

	if (address_is_ipv4(address)) {
		key.prefix_bits = IPCACHE_FAMILY_BITS + IPV4_BITS;
		key.family = 4;
		key.address[0] = address->word[1] >> 32;
	} else {
		key.prefix_bits = IPCACHE_FAMILY_BITS + ADDRESS_BITS;
		key.family = 6;
		__builtin_memcpy(key.address, address, sizeof(key.address));
	}
	identity = ipcache.lookup(&key);
	return identity ? *identity : IDENTITY_WORLD;
}

#endif
