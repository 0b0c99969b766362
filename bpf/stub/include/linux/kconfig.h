/* SPDX-License-Identifier: GPL-2.0 */
/* BCC leaves the bpf types out unless the kernel is configured with them. */
#pragma once
#define CONFIG_BPF_SYSCALL 1
