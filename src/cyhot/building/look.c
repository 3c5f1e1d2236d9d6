/* Looks at many files in one call; `looks` says what for, and what the functions give. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sys/stat.h>

#ifdef __APPLE__
#define MTIME(st) (st).st_mtimespec
#define CTIME(st) (st).st_ctimespec
#define ATIME(st) (st).st_atimespec
#else
#define MTIME(st) (st).st_mtim
#define CTIME(st) (st).st_ctim
#define ATIME(st) (st).st_atim
#endif
#define NANOSECONDS(t) ((long long)(t).tv_sec * 1000000000 + (t).tv_nsec)
#define AT_ONCE 64

/* A path as the system wants it. What had to be made for that is appended to `made`. */
static const char *
system_path(PyObject *path, PyObject *made)
{
    PyObject *bytes;
    int failed;
    if (!PyUnicode_Check(path)) {
        PyErr_SetString(PyExc_TypeError, "a path is no str");
        return NULL;
    }
    if (PyUnicode_IS_COMPACT_ASCII(path))
        return (const char *)PyUnicode_1BYTE_DATA(path);
    bytes = PyUnicode_EncodeFSDefault(path);
    if (bytes == NULL)
        return NULL;
    failed = PyList_Append(made, bytes);
    Py_DECREF(bytes);
    return failed ? NULL : PyBytes_AS_STRING(bytes);
}

/* Whether a file has a signature. Numbers are compared modulo 2 ** 64, which all of them are below;
   inodes may be from 2 ** 63 on. */
static int
has_signature(const struct stat *st, PyObject *sig, const char *fields)
{
    Py_ssize_t at;
    if (!PyTuple_Check(sig) || PyTuple_GET_SIZE(sig) != (Py_ssize_t)strlen(fields))
        return 0;
    for (at = 0; fields[at]; at++) {
        PyObject *noted = PyTuple_GET_ITEM(sig, at);
        unsigned long long now = 0;
        switch (fields[at]) {
        case 'i': now = (unsigned long long)st->st_ino; break;
        case 'm': now = (unsigned long long)NANOSECONDS(MTIME(*st)); break;
        case 'c': now = (unsigned long long)NANOSECONDS(CTIME(*st)); break;
        case 's': now = (unsigned long long)st->st_size; break;
        default: return 0;
        }
        if (!PyLong_Check(noted) || PyLong_AsUnsignedLongLongMask(noted) != now)
            return 0;
    }
    return 1;
}

/* 1 if all files have their signatures, 0 if one has not, -1 for an exception. `last` is another
   path, or NULL; its status goes into `status`. Other threads run meanwhile. */
static int
compare(PyObject *paths, PyObject *sigs, const char *fields, PyObject *last, struct stat *status)
{
    struct stat found[AT_ONCE];
    const char *names[AT_ONCE];
    Py_ssize_t many = PyTuple_GET_SIZE(paths), start, at, count;
    int missing = 0, same = -1;
    const char *own = NULL;
    PyObject *made = PyList_New(0);
    if (made == NULL)
        return -1;
    if (PyTuple_GET_SIZE(sigs) != many) {
        PyErr_SetString(PyExc_ValueError, "each path has a signature");
        goto done;
    }
    if (last != NULL && (own = system_path(last, made)) == NULL)
        goto done;
    for (start = 0; start < many || own != NULL; start += AT_ONCE) {
        count = many - start < AT_ONCE ? many - start : AT_ONCE;
        for (at = 0; at < count; at++) {
            names[at] = system_path(PyTuple_GET_ITEM(paths, start + at), made);
            if (names[at] == NULL)
                goto done;
        }
        Py_BEGIN_ALLOW_THREADS
        for (at = 0; at < count && !missing; at++)
            missing = stat(names[at], &found[at]);
        if (own != NULL && !missing)
            missing = stat(own, status);
        Py_END_ALLOW_THREADS
        own = NULL;
        same = 0;
        if (missing)
            goto done;
        for (at = 0; at < count; at++)
            if (!has_signature(&found[at], PyTuple_GET_ITEM(sigs, start + at), fields))
                goto done;
    }
    same = 1;
done:
    Py_DECREF(made);
    return same;
}

static PyObject *
are_as_noted(PyObject *module, PyObject *arguments)
{
    PyObject *paths, *sigs;
    const char *fields;
    int same;
    if (!PyArg_ParseTuple(arguments, "O!O!s", &PyTuple_Type, &paths, &PyTuple_Type, &sigs, &fields))
        return NULL;
    same = compare(paths, sigs, fields, NULL, NULL);
    return same < 0 ? NULL : PyBool_FromLong(same);
}

static PyObject *
image_status(PyObject *module, PyObject *arguments)
{
    PyObject *paths, *sigs, *image;
    struct stat status;
    int same;
    if (!PyArg_ParseTuple(arguments, "O!O!U", &PyTuple_Type, &paths, &PyTuple_Type, &sigs, &image))
        return NULL;
    same = compare(paths, sigs, "imcs", image, &status);
    if (same < 0)
        return NULL;
    if (!same)
        Py_RETURN_NONE;
    return Py_BuildValue("LL", (long long)status.st_size, NANOSECONDS(ATIME(status)));
}

static PyMethodDef methods[] = {
    {"are_as_noted", are_as_noted, METH_VARARGS, NULL},
    {"image_status", image_status, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_look", .m_size = 0, .m_methods = methods, .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__look(void)
{
    return PyModuleDef_Init(&definition);
}
