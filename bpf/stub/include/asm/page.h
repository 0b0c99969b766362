/* SPDX-License-Identifier: GPL-2.0 */
/* BCC's headers name them; no program of ours looks at pages. */
#pragma once
#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
