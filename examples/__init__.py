"""Example packages: compiled on import in a checkout, ahead of time where they were built so.

In a checkout their kernels are ``.pyx`` files, which need cyhot's import hook: it is installed
here, unless somebody has done it with settings of their own. Where CMake has built them they are
extension modules, which need nothing, and cyhot need not be there.
"""

from importlib.util import find_spec as _find_spec

if _find_spec("cyhot"):
    from cyhot.hook import install as _install
    from cyhot.hook import is_installed as _is_installed

    if not _is_installed():
        _install()
