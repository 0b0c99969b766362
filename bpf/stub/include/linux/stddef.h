/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's own has offsetof, the exported one has not. */
#pragma once
#include_next <linux/stddef.h>

#define offsetof(type, member) __builtin_offsetof(type, member)
