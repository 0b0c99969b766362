/* SPDX-License-Identifier: GPL-2.0 */
/* BCC brings its own copy, newer than the machine's, and includes it before all else. */
#pragma once
#define __LINUX_BPF_H__ 1
