/* SPDX-License-Identifier: GPL-2.0 */
/* BCC asks for the kernel tree's copy; the exported one is the same. */
#include "/usr/include/linux/if_ether.h"
