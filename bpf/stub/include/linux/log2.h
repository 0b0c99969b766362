/* SPDX-License-Identifier: GPL-2.0 */
/* BCC includes it for kernel probes, which we have none of. */
#pragma once
