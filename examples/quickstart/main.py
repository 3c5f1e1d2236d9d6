import cyhot

cyhot.install()

import foo  # noqa: E402 (cyhot must be installed first: foo is foo.pyx)

print(foo.sqr(7))
