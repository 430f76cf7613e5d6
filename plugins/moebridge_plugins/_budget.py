"""Who has spent how many tokens in the window of now."""

from __future__ import annotations

import math

__all__ = ["OTHERS", "Budgets"]

#: Everybody beyond the bound on tenants, together.
OTHERS = "(others)"


class Budgets:
    """Tokens of each tenant in fixed windows, in bounded memory.

    Args:
        limit: of a tenant in a window; 0 = none.
        limits: other limits, by tenant.
        window_s: length of a window.
        max_tenants: tenants that are told apart; the rest share one account.
    """

    def __init__(
        self, *, limit: int, limits: dict[str, int], window_s: float, max_tenants: int
    ) -> None:
        self._limit = limit
        self._limits = limits
        self._window_s = window_s
        self._max = max_tenants
        self._spent: dict[str, int] = {}
        self._window = -1

    def account(self, tenant: str, now_s: float) -> str:
        """The account of a tenant: its name, or OTHERS."""
        self._roll(now_s)
        if tenant in self._spent or tenant in self._limits or len(self._spent) < self._max:
            return tenant
        return OTHERS

    def spend(self, account: str, tokens: int, now_s: float) -> None:
        """Notes tokens."""
        self._roll(now_s)
        self._spent[account] = self._spent.get(account, 0) + tokens

    def wait_s(self, account: str, now_s: float) -> int:
        """Seconds until the account may spend again; 0 = now."""
        self._roll(now_s)
        limit = self._limits.get(account, self._limit)
        if limit <= 0 or self._spent.get(account, 0) < limit:
            return 0
        return max(1, math.ceil((self._window + 1) * self._window_s - now_s))

    def _roll(self, now_s: float) -> None:
        window = math.floor(now_s / self._window_s)
        if window != self._window:
            self._window = window
            self._spent.clear()
