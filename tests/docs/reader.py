"""Follows a page from top to bottom: its files are saved, its commands typed, its outputs compared."""

from __future__ import annotations

import re
from pathlib import Path

from guardian.cli.ports import free_port
from tests.docs.pages import ROOT, Command, Copy, Page, Run, Save, pattern_of
from tests.docs.terminals import Terminal
from tests.eventually import eventually

AGAIN_WITHIN_S = 90.0
DEV = "guardian-dev-of-the-test"


class Reader:
    """Follows one page.

    Args:
        page: it.
        folder: a fresh one.
    """

    def __init__(self, page: Page, folder: Path) -> None:
        self._page = page
        self._work = folder / "work"
        self._logs = folder / "logs"
        self._work.mkdir()
        self._logs.mkdir()
        (self._work / "examples").symlink_to(ROOT / "examples")
        self._ports = {port: str(free_port()) for port in page.ports}
        self._terminals: dict[str, Terminal] = {}
        # Another guardian on this machine may have the usual port of serve.
        serve = self._ports.setdefault("8620", str(free_port()))
        self._environment = {"GUARDIAN_SERVE_PORT": serve, "GUARDIAN_STATE_DIR": str(folder / "state")}

    async def follow(self) -> None:
        """Do everything that the page says."""
        try:
            if self._page.needs_dev:
                await self._terminal(DEV).start("guardian dev", re.compile("Ctrl-C ends it"))
                exports = (line.partition("=") for line in self._exports(DEV))
                self._environment |= {name.removeprefix("export "): value for name, _, value in exports}
            for deed in self._page.deeds:
                await self._do(deed)
        finally:
            for terminal in reversed(self._terminals.values()):
                terminal.close()

    async def _do(self, deed: Save | Run | Copy) -> None:
        if isinstance(deed, Save):
            path = self._work / deed.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._here(deed.text), encoding="utf-8")
        elif isinstance(deed, Copy):
            for line in self._exports(deed.source):
                await self._terminal(deed.terminal).run(line)
        else:
            await self._run(deed)

    async def _run(self, run: Run) -> None:
        terminal = self._terminal(run.terminal)
        if "after Ctrl-C" in run.options:
            await terminal.press_ctrl_c()
        for command in run.commands:
            last = command is run.commands[-1]
            where = f"{self._page.path.name}:{run.line}: $ {command.text}"
            if last and "stays" in run.options:
                await terminal.start(self._here(command.text), self._expected(command))
            elif "again" in run.options:
                await self._until_shown(terminal, command, where)
            else:
                await self._once(terminal, command, run.exit_code if last else 0, where)

    async def _until_shown(self, terminal: Terminal, command: Command, where: str) -> None:
        """Look again and again, as the reader is told to; say what was seen last when it does not come true."""
        seen = [f"{where}\ndid not end once"]

        async def shown() -> bool:
            try:
                return await self._once(terminal, command, 0, where)
            except AssertionError as fault:
                seen.append(str(fault))
                return False

        try:
            await eventually(shown, within=AGAIN_WITHIN_S)
        except AssertionError as late:
            raise AssertionError(f"not within {AGAIN_WITHIN_S:.0f} s: {seen[-1]}") from late

    async def _once(self, terminal: Terminal, command: Command, exit_code: int, where: str) -> bool:
        code, printed = await terminal.run(self._here(command.text))
        assert code == exit_code, f"{where}\nended with {code}, expected {exit_code}:\n{printed}"
        if command.shown:
            shown = "\n".join(command.shown)
            text = printed.strip("\n") + "\n"
            assert self._expected(command).fullmatch(text), f"{where}\nprinted\n{printed}\nexpected\n{shown}"
        return True

    def _expected(self, command: Command) -> re.Pattern[str]:
        return pattern_of([self._here(line) for line in command.shown])

    def _terminal(self, name: str) -> Terminal:
        if name not in self._terminals:
            self._terminals[name] = Terminal(name, self._work, self._logs / name, self._environment)
        return self._terminals[name]

    def _exports(self, source: str) -> list[str]:
        found = re.findall(r"^\s*(export \w+=\S+)$", self._terminals[source].printed, re.M)
        assert found, f"{source} printed no export lines"
        return found

    def _here(self, text: str) -> str:
        for port, free in self._ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text
