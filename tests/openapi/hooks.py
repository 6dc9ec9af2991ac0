"""What schemathesis tries that is no breach."""

import schemathesis

# HTTP lets every request have headers that its receiver doesn't know
_UNKNOWN_HEADER = "x-schemathesis-unknown-property"


@schemathesis.hook
def filter_case(_context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    return _UNKNOWN_HEADER not in (case.headers or {})
