/* SPDX-License-Identifier: MIT
 *
 * What an emulator may only pretend to do: it answers that all is well, and does nothing.
 */
#ifndef ADVICE_H
#define ADVICE_H

#include <stdbool.h>

bool advice_wipes_on_fork(void); /* MADV_WIPEONFORK */
bool advice_drops_on_fork(void); /* MADV_DONTFORK */
bool advice_populates(void);     /* MADV_POPULATE_WRITE */

#endif
