"""statekeep keeps the state of AI agents: their sessions and the documents they work on.

```python
from statekeep import Sessions, open_store

with open_store("./state") as store:
    sessions = Sessions(store)
    session = sessions.get_or_create("ada")
    session.add_user_message("Hello")
    sessions.save(session)
```

What most programs need is here. The rest is in `statekeep.store` (the protocol, powers, wrappers),
`statekeep.journals`, `statekeep.retention`, `statekeep.documents`, `statekeep.doctor`,
`statekeep.conversations`, `statekeep.search`, `statekeep.watching`, `statekeep.erasure`,
`statekeep.transport`, `statekeep.events`, `statekeep.errors`, `statekeep.aio`,
`statekeep.plugins`, `statekeep.config`, `statekeep.timestamps` and `statekeep.testing`. Other
modules are internal.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from statekeep._version import __version__ as __version__

if TYPE_CHECKING:
    from statekeep._names import *  # noqa: F403

    __all__: list[str]
else:
    _MODULES = {
        "aio", "config", "conversations", "documents", "doctor", "erasure", "errors", "events",
        "journals", "plugins", "retention", "search", "store", "testing", "timestamps",
        "transport", "watching",
    }  # fmt: skip

    # Names are imported when one is first accessed, because importing takes time. Access one
    # before forking, as with any import: a child that is forked while another thread imports can
    # hang.
    def __getattr__(name: str) -> Any:  # noqa: ANN401
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        names = vars(import_module(f"{__name__}._names"))
        if name == "__all__":
            return sorted(["__version__", *(each for each in names if not each.startswith("_"))])
        if name.startswith("_") or name not in names:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = names[name]
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})
