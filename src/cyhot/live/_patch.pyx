# cython: language_level=3, binding=False, embedsignature=False
"""The raw writes of a swap, each noted so that it can be taken back.

cyhot compiles this file with the very Cython whose modules it patches, for the very Python that runs.
All that is here runs under the GIL and calls no Python code between `Journal`'s first write and the
end of `commit`: other threads see the program before the swap or after it, nothing between.

References: what a slot held before is held by the journal afterwards, so nothing is dropped (and no
destructor runs) before the journal itself is.
"""

cimport cython
from cpython.dict cimport PyDict_DelItem, PyDict_GetItemWithError, PyDict_SetItem
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, Py_XINCREF
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, strstr

import gc
import types
import weakref

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <stddef.h>
    #include <dlfcn.h>
    #include <structmember.h>
    #ifdef __ELF__
    #include <link.h>
    #endif

    struct cyhot_function_row { PyMethodDef *definition; PyObject **qualified; };
    struct cyhot_builtin_row { PyMethodDef *definition; };
    struct cyhot_type_row {
      PyTypeObject *made; PyTypeObject **used; void **table_used; void **table;
      size_t entries; size_t offset;
    };
    struct cyhot_variable_row { void *address; size_t size; };
    struct cyhot_pointer_row { void **address; };
    struct cyhot_image_row {
      size_t version;
      const char *facts;
      PyObject *(**import_hook)(PyObject *);
      PyObject **module, **dict;
      void **state; size_t state_words;
      struct cyhot_function_row *functions;
      struct cyhot_builtin_row *builtins;
      struct cyhot_type_row *types;
      struct cyhot_variable_row *variables;
      struct cyhot_pointer_row *pointers;
      PyObject ***bound, ***class_bound;
      size_t function_size, function_dict, name, qualified, doc, globals, code, closure, defaults,
        flags, defaults_tuple, defaults_kwdict, defaults_getter, annotations, signatures;
    };

    /* The slots that a class's new version may bring, by the suite that they are in. */
    #define S(f) {-1, offsetof(PyTypeObject, f)}
    #define SN(f) {0, offsetof(PyNumberMethods, f)}
    #define SQ(f) {1, offsetof(PySequenceMethods, f)}
    #define SM(f) {2, offsetof(PyMappingMethods, f)}
    #define SA(f) {3, offsetof(PyAsyncMethods, f)}
    #define SB(f) {4, offsetof(PyBufferProcs, f)}
    static const struct cyhot_slot { int suite; size_t offset; } cyhot_slots[] = {
      S(tp_dealloc), S(tp_getattr), S(tp_setattr), S(tp_repr), S(tp_hash), S(tp_call), S(tp_str),
      S(tp_getattro), S(tp_setattro), S(tp_traverse), S(tp_clear), S(tp_richcompare), S(tp_iter),
      S(tp_iternext), S(tp_descr_get), S(tp_descr_set), S(tp_init), S(tp_new), S(tp_del),
      S(tp_finalize),
      SN(nb_add), SN(nb_subtract), SN(nb_multiply), SN(nb_remainder), SN(nb_divmod), SN(nb_power),
      SN(nb_negative), SN(nb_positive), SN(nb_absolute), SN(nb_bool), SN(nb_invert), SN(nb_lshift),
      SN(nb_rshift), SN(nb_and), SN(nb_xor), SN(nb_or), SN(nb_int), SN(nb_float),
      SN(nb_inplace_add), SN(nb_inplace_subtract), SN(nb_inplace_multiply),
      SN(nb_inplace_remainder), SN(nb_inplace_power), SN(nb_inplace_lshift),
      SN(nb_inplace_rshift), SN(nb_inplace_and), SN(nb_inplace_xor), SN(nb_inplace_or),
      SN(nb_floor_divide), SN(nb_true_divide), SN(nb_inplace_floor_divide),
      SN(nb_inplace_true_divide), SN(nb_index), SN(nb_matrix_multiply),
      SN(nb_inplace_matrix_multiply),
      SQ(sq_length), SQ(sq_concat), SQ(sq_repeat), SQ(sq_item), SQ(sq_ass_item), SQ(sq_contains),
      SQ(sq_inplace_concat), SQ(sq_inplace_repeat),
      SM(mp_length), SM(mp_subscript), SM(mp_ass_subscript),
      SA(am_await), SA(am_aiter), SA(am_anext), SA(am_send),
      SB(bf_getbuffer), SB(bf_releasebuffer),
    };
    #define CYHOT_SLOTS (sizeof(cyhot_slots) / sizeof(cyhot_slots[0]))
    static const size_t cyhot_suites[] = {
      offsetof(PyTypeObject, tp_as_number), offsetof(PyTypeObject, tp_as_sequence),
      offsetof(PyTypeObject, tp_as_mapping), offsetof(PyTypeObject, tp_as_async),
      offsetof(PyTypeObject, tp_as_buffer),
    };
    #define CYHOT_SUITES 5

    #ifdef Py_TPFLAGS_MANAGED_DICT
    #define CYHOT_KIND (Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HEAPTYPE | Py_TPFLAGS_MANAGED_DICT)
    #define CYHOT_HAS_DICT(t) (((t)->tp_flags & Py_TPFLAGS_MANAGED_DICT) || (t)->tp_dictoffset)
    #else
    #define CYHOT_KIND (Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HEAPTYPE)
    #define CYHOT_HAS_DICT(t) ((t)->tp_dictoffset != 0)
    #endif
    #define CYHOT_LOOKS (Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IS_ABSTRACT | Py_TPFLAGS_SEQUENCE \\
        | Py_TPFLAGS_MAPPING | Py_TPFLAGS_HAVE_FINALIZE)

    static int cyhot_is_descriptor(PyObject *o) {
      PyTypeObject *t = Py_TYPE(o);
      return t == &PyMethodDescr_Type || t == &PyClassMethodDescr_Type
          || t == &PyGetSetDescr_Type || t == &PyMemberDescr_Type || t == &PyWrapperDescr_Type;
    }
    /* Where a descriptor has its code: one or two pointers. */
    static int cyhot_descriptor_fields(PyObject *o, void ***first, void ***second) {
      PyTypeObject *t = Py_TYPE(o);
      *second = 0;
      if (t == &PyMethodDescr_Type || t == &PyClassMethodDescr_Type) {
        *first = (void **)&((PyMethodDescrObject *)o)->d_method;
        *second = (void **)&((PyMethodDescrObject *)o)->vectorcall;
      } else if (t == &PyGetSetDescr_Type) *first = (void **)&((PyGetSetDescrObject *)o)->d_getset;
      else if (t == &PyMemberDescr_Type) *first = (void **)&((PyMemberDescrObject *)o)->d_member;
      else if (t == &PyWrapperDescr_Type) {
        *first = (void **)&((PyWrapperDescrObject *)o)->d_base;
        *second = (void **)&((PyWrapperDescrObject *)o)->d_wrapped;
      } else return 0;
      return 1;
    }
    /* Where an image in memory ends. dladdr walks through all images that the process has mapped,
       thousands after as many swaps, for each address that it is asked about. */
    static void *cyhot_image_end(void *base) {
      uintptr_t end = 0;
    #ifdef __ELF__
      ElfW(Ehdr) *header = (ElfW(Ehdr) *)base;
      ElfW(Phdr) *part = (ElfW(Phdr) *)((char *)base + header->e_phoff);
      int index;
      for (index = 0; index < header->e_phnum; index++, part++)
        if (part->p_type == PT_LOAD && part->p_vaddr + part->p_memsz > end)
          end = part->p_vaddr + part->p_memsz;
      return (char *)base + end;
    #else
      (void)base;
      return (void *)end;
    #endif
    }
    #define cyhot_traverse(o, visit, arg) \\
        (Py_TYPE(o)->tp_traverse ? Py_TYPE(o)->tp_traverse((o), (visitproc)(visit), (arg)) : 0)
    #define Py_SIZE_OR_USED(o) (PyDict_CheckExact(o) ? PyDict_Size(o) : PyTuple_GET_SIZE(o))
    static int cyhot_is_untracked(PyObject *o) {
      return (PyDict_CheckExact(o) || PyTuple_CheckExact(o)) && Py_SIZE_OR_USED(o)
          && !PyObject_GC_IsTracked(o);
    }
    /* From 3.13 on, a class that was modified a thousand times is looked up in slowly, for ever. */
    static void cyhot_forget_modifications(PyTypeObject *t) {
    #if PY_VERSION_HEX >= 0x030D0000
      if (t->tp_versions_used <= 1000) t->tp_versions_used = 0;
    #endif
    }
    #define cyhot_store(address, value) \\
        __atomic_store_n((void **)(address), (void *)(value), __ATOMIC_RELEASE)
    #define cyhot_c_function(o) ((PyCFunctionObject *)(o))
    static size_t cyhot_words(PyObject *o) {
      PyTypeObject *t = Py_TYPE(o);
      Py_ssize_t size = t->tp_basicsize;
      if (t->tp_itemsize && !PyLong_Check(o)) {
        Py_ssize_t many = Py_SIZE(o);
        size += (many < 0 ? -many : many) * t->tp_itemsize;
      }
      return (size_t)size / sizeof(void *);
    }
    """
    struct function_row "cyhot_function_row":
        void *definition
        PyObject **qualified
    struct builtin_row "cyhot_builtin_row":
        void *definition
    struct type_row "cyhot_type_row":
        PyTypeObject *made
        PyTypeObject **used
        void **table_used
        void **table
        size_t entries
        size_t offset
    struct variable_row "cyhot_variable_row":
        void *address
        size_t size
    struct pointer_row "cyhot_pointer_row":
        void **address
    struct image_tables "cyhot_image_row":
        size_t version
        const char *facts
        PyObject *(**import_hook)(PyObject *) except NULL
        PyObject **module
        PyObject **dict
        void **state
        size_t state_words
        function_row *functions
        builtin_row *builtins
        type_row *types
        variable_row *variables
        pointer_row *pointers
        PyObject ***bound
        PyObject ***class_bound
        size_t function_size, function_dict, name, qualified, doc, globals "globals", code, closure
        size_t defaults, flags, defaults_tuple, defaults_kwdict, defaults_getter, annotations
        size_t signatures
    struct slot "cyhot_slot":
        int suite
        size_t offset
    struct method_def "PyMethodDef":
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    ctypedef struct c_function "PyCFunctionObject":
        method_def *m_ml
        PyObject *m_self
        PyObject *m_module
        void *vectorcall
    ctypedef struct type_object "PyTypeObject":
        const char *tp_name
        Py_ssize_t tp_basicsize
        Py_ssize_t tp_itemsize
        Py_ssize_t tp_dictoffset
        Py_ssize_t tp_weaklistoffset
        Py_ssize_t tp_vectorcall_offset
        unsigned long tp_flags
        PyTypeObject *tp_base
        PyObject *tp_dict
        PyObject *tp_bases
        PyObject *tp_mro
        PyObject *tp_subclasses
        void *tp_methods
        void *tp_members
        void *tp_getset
        const char *tp_doc
        void *tp_vectorcall
        PyObject *(*tp_alloc)(PyTypeObject *, Py_ssize_t)
        void (*tp_free)(void *) noexcept
        int (*tp_setattro)(PyObject *, PyObject *, PyObject *) except -1
    ctypedef int (*visit_function)(PyObject *, void *) noexcept
    const slot *cyhot_slots
    size_t CYHOT_SLOTS
    const size_t *cyhot_suites
    int CYHOT_SUITES
    unsigned long CYHOT_KIND, CYHOT_LOOKS, Py_TPFLAGS_HEAPTYPE, Py_TPFLAGS_HAVE_GC
    unsigned long Py_TPFLAGS_IMMUTABLETYPE
    int CYHOT_HAS_DICT(PyTypeObject *)
    int cyhot_is_descriptor(PyObject *)
    int cyhot_is_untracked(PyObject *)
    int cyhot_descriptor_fields(PyObject *, void ***, void ***)
    int cyhot_traverse(PyObject *, visit_function, void *)
    void cyhot_forget_modifications(PyTypeObject *)
    void cyhot_store(void *, void *)
    c_function *cyhot_c_function(PyObject *)
    size_t cyhot_words(PyObject *)
    PyTypeObject *Py_TYPE(PyObject *)
    void Py_SET_TYPE(PyObject *, PyTypeObject *)
    Py_ssize_t Py_REFCNT(PyObject *)
    PyObject *PyType_GenericAlloc(PyTypeObject *, Py_ssize_t)
    void PyObject_Free(void *)
    void PyObject_GC_Del(void *)
    void PyObject_GC_UnTrack(PyObject *)
    void PyType_Modified(PyTypeObject *)
    PyTypeObject PyType_Type
    int PyList_CheckExact(PyObject *)
    int PyList_Check(PyObject *)
    int PyDict_Check(PyObject *)
    int PyODict_Check(PyObject *)
    int PyAnySet_Check(PyObject *)
    int PyFrozenSet_Check(PyObject *)
    int PyType_Check(PyObject *)
    int PyWeakref_Check(PyObject *)
    int PyCFunction_CheckExact(PyObject *)
    int PySlice_Check(PyObject *)
    int PyTuple_CheckExact(PyObject *)
    int PyObject_IS_GC(PyObject *)
    int PyObject_GC_IsTracked(PyObject *)
    Py_ssize_t PyList_GET_SIZE(PyObject *)
    PyObject *PyList_GET_ITEM(PyObject *, Py_ssize_t)
    int PyODict_SetItem(PyObject *, PyObject *, PyObject *) except -1
    int PyODict_DelItem(PyObject *, PyObject *) except -1
    int PySet_Add(object, object) except -1
    int PySet_Discard(object, object) except -1
    object PyObject_GenericGetDict(object, void *)
    PyObject **_PyObject_GetDictPtr(PyObject *)
    object PyCFunction_NewEx(method_def *, PyObject *, PyObject *)
    int PyObject_GenericSetAttr(object, object, object) except -1
    object PyWeakref_NewRef(object, PyObject *)
    object PyWeakref_NewProxy(object, PyObject *)
    ctypedef struct weak_reference "PyWeakReference":
        PyObject *wr_callback
    void _PyWeakref_ClearRef(PyObject *)
    object PyLong_FromVoidPtr(void *)
    void *dlopen(const char *, int) nogil
    void *dlsym(void *, const char *) nogil
    ctypedef struct dl_info "Dl_info":
        void *dli_fbase
    int dladdr(const void *, dl_info *) nogil
    void *cyhot_image_end(void *)
    int RTLD_NOW, RTLD_NOLOAD

VERSION = 3
"""Of the tables in images that this file reads."""


# What an image consists of -----------------------------------------------------------------------

cdef class Image:
    """The tables of an image that this process has mapped."""

    cdef image_tables *raw
    cdef readonly str path

    @property
    def facts(self):
        """The facts, as text."""
        return (<bytes>self.raw.facts).decode("ascii").partition(":")[2]

    @property
    def function_size(self):
        """The size of Cython's function objects, 0 if the image makes none."""
        return self.raw.function_size

    @property
    def definitions(self):
        """The address of each function's PyMethodDef."""
        cdef list found = []
        cdef function_row *row = self.raw.functions
        while row.definition:
            found.append(<uintptr_t>row.definition)
            row += 1
        return found

    @property
    def qualified_names(self):
        """Each function's qualified name; known once the body ran."""
        cdef list found = []
        cdef function_row *row = self.raw.functions
        while row.definition:
            found.append(<object>row.qualified[0] if row.qualified[0] else "")
            row += 1
        return found

    @property
    def builtins(self):
        """The address of each PyMethodDef of a function without binding."""
        cdef list found = []
        cdef builtin_row *row = self.raw.builtins
        while row.definition:
            found.append(<uintptr_t>row.definition)
            row += 1
        return found

    @property
    def methods(self):
        """For each cdef class the addresses of its methods' PyMethodDefs, by name."""
        cdef list found = []
        cdef dict named
        cdef method_def *method
        cdef type_row *row = self.raw.types
        while row.made:
            named = {}
            method = <method_def *>(<type_object *>row.made).tp_methods
            while method and method.ml_name:
                named[(<bytes>method.ml_name).decode()] = <uintptr_t>method
                method += 1
            found.append(named)
            row += 1
        return found

    @property
    def types(self):
        """The cdef classes that the image itself made, used or not."""
        cdef list found = []
        cdef type_row *row = self.raw.types
        while row.made:
            found.append(<object>row.made)
            row += 1
        return found

    @property
    def used_types(self):
        """The cdef classes that the image's code uses: its own, or older ones in their place."""
        cdef list found = []
        cdef type_row *row = self.raw.types
        while row.made:
            found.append(<object>row.used[0] if row.used[0] else None)
            row += 1
        return found

    @property
    def bound(self):
        """The names that the module's code binds in the module."""
        return _strings(self.raw.bound)

    @property
    def class_bound(self):
        """The names that the module's code binds in classes."""
        return _strings(self.raw.class_bound)

    @property
    def pointers(self):
        """The address of each pointer to another module's function or variable."""
        cdef list found = []
        cdef pointer_row *row = self.raw.pointers
        while row.address:
            found.append(<uintptr_t>row.address)
            row += 1
        return found

    def held(self, kinds):
        """The objects that C variables of some kinds refer to.

        Args:
            kinds: For each C variable what it holds.
        """
        cdef list found = []
        cdef variable_row *row = self.raw.variables
        for kind in kinds:
            if kind in ("object", "unknown") and row.size == sizeof(void *):
                if (<PyObject **>row.address)[0]:
                    found.append(<object>(<PyObject **>row.address)[0])
            row += 1
        return found

    def substitute_imports(self, find):
        """Have imports of this image find other modules than the rest of the program does.

        Args:
            find: Called with what all others find, gives what this image's imports find; what it
                raises, the import statement raises. None for an end.
        """
        global _substitute
        _substitute = find
        if find is None:
            self.raw.import_hook[0] = NULL
        else:
            self.raw.import_hook[0] = substituted

    def track(self):
        """Note the instances of its cdef classes, from before the body runs until `untrack`."""
        cdef type_row *row = self.raw.types
        while row.made:
            (<type_object *>row.made).tp_alloc = tracked_alloc
            (<type_object *>row.made).tp_free = tracked_free
            row += 1

    def untrack(self):
        """End what `track` began."""
        cdef type_row *row = self.raw.types
        cdef type_object *one
        while row.made:
            one = <type_object *>row.made
            one.tp_alloc = PyType_GenericAlloc
            one.tp_free = PyObject_GC_Del if one.tp_flags & Py_TPFLAGS_HAVE_GC else PyObject_Free
            row += 1


def open_image(str path):
    """The tables of an image that is mapped already, None if it has none.

    Args:
        path: The path that it was mapped from.
    """
    cdef bytes name = path.encode()
    cdef void *handle = dlopen(name, RTLD_NOW | RTLD_NOLOAD)
    if not handle:
        return None
    return _image_of(handle, path)


def map_image(str path):
    """Map an image, and give its tables, None if it has none. No code of Python's runs."""
    cdef bytes name = path.encode()
    cdef void *handle = dlopen(name, RTLD_NOW)
    if not handle:
        return None
    return _image_of(handle, path)


cdef object _image_of(void *handle, str path):
    cdef image_tables *raw = <image_tables *>dlsym(handle, b"__cyhot_image")
    if not raw or raw.version != VERSION:
        return None
    cdef Image found = Image.__new__(Image)
    found.raw = raw
    found.path = path
    return found


cdef frozenset _strings(PyObject ***names):
    cdef list found = []
    while names[0]:
        if names[0][0]:
            found.append(<object>names[0][0])
        names += 1
    return frozenset(found)


# What happens while a new body runs --------------------------------------------------------------

cdef object _substitute = None

cdef PyObject *substituted(PyObject *module) except NULL:
    """What a new body's import statement gives; takes over the reference, and gives one."""
    cdef object found = <object>module
    Py_DECREF(found)
    if _substitute is not None:
        found = _substitute(found)
    Py_INCREF(found)
    return <PyObject *>found


cdef set _tracked = set()

cdef PyObject *tracked_alloc(PyTypeObject *made, Py_ssize_t many) noexcept:
    cdef PyObject *instance = PyType_GenericAlloc(made, many)
    if instance:
        _tracked.add(<uintptr_t>instance)
    return instance


cdef void tracked_free(void *instance) noexcept:
    cdef bint has_gc = (<type_object *>Py_TYPE(<PyObject *>instance)).tp_flags & Py_TPFLAGS_HAVE_GC
    _tracked.discard(<uintptr_t>instance)
    if has_gc:
        PyObject_GC_Del(instance)
    else:
        PyObject_Free(instance)


def take_tracked():
    """The addresses of the instances noted so far that are still there; forgets them."""
    global _tracked
    found, _tracked = _tracked, set()
    return found


# Looking through the heap ------------------------------------------------------------------------

cdef struct Sought:
    size_t mask
    uintptr_t *slots
    size_t hits
    PyObject *untracked


cdef int _visit(PyObject *one, void *argument) noexcept:
    cdef Sought *sought = <Sought *>argument
    sought.hits += _has(sought, <uintptr_t>one)
    if sought.untracked and cyhot_is_untracked(one):
        (<list>sought.untracked).append(<object>one)
    return 0


cdef inline size_t _has(Sought *sought, uintptr_t wanted) noexcept:
    cdef size_t at = (wanted >> 4) & sought.mask
    while sought.slots[at]:
        if sought.slots[at] == wanted:
            return 1
        at = (at + 1) & sought.mask
    return 0


cdef class Seeker:
    """Finds which objects hold references to some others.

    Args:
        wanted: The addresses of those others.
    """

    cdef Sought sought

    def __cinit__(self, wanted):
        cdef size_t many = 64, at
        cdef uintptr_t one
        while many < 4 * len(wanted):
            many *= 2
        self.sought.slots = <uintptr_t *>calloc(many, sizeof(uintptr_t))
        if not self.sought.slots:
            raise MemoryError
        self.sought.mask = many - 1
        for one in wanted:
            at = (one >> 4) & self.sought.mask
            while self.sought.slots[at]:
                at = (at + 1) & self.sought.mask
            self.sought.slots[at] = one

    def __dealloc__(self):
        free(self.sought.slots)

    cdef bint holds(self, PyObject *one) noexcept:
        self.sought.hits = 0
        cyhot_traverse(one, _visit, &self.sought)
        return self.sought.hits != 0

    cdef bint counts(self, PyObject *holder, PyObject **word, PyObject *other) noexcept:
        """Whether a word of an object is a reference that it owns, and not a borrowed one."""
        cdef PyObject *before = word[0]
        cdef size_t hits
        self.holds(holder)
        hits = self.sought.hits
        word[0] = other
        self.holds(holder)
        word[0] = before
        return self.sought.hits < hits

    def holders(self, list objects, roots=()):
        """Those of some objects that hold references to what is wanted.

        The collector leaves out tuples and dicts of what it does not look at, such as cdef classes:
        they are looked for in what holds them.

        Args:
            objects: What the collector knows.
            roots: Other objects to look at, if it does not know them.
        """
        cdef list found = []
        cdef list untracked = [one for one in roots if cyhot_is_untracked(<PyObject *>one)]
        cdef set seen = set()
        cdef Py_ssize_t index
        self.sought.untracked = <PyObject *>untracked
        for index in range(len(objects)):
            one = objects[index]
            if one is not objects and self.holds(<PyObject *>one):
                found.append(one)
        while untracked:
            one = untracked.pop()
            if <uintptr_t><PyObject *>one not in seen:
                seen.add(<uintptr_t><PyObject *>one)
                if self.holds(<PyObject *>one):
                    found.append(one)
        self.sought.untracked = NULL
        return found


def survey(list objects, cache_type):
    """What a swap has to know of among some objects.

    Args:
        objects: All objects that the collector knows.
        cache_type: The class of what ``functools.lru_cache`` makes.

    Returns:
        Cython's function objects, each with the address of its PyMethodDef; the classes; the
        instances of ``cache_type``; and the addresses of other functions' PyMethodDefs.
    """
    cdef list functions = [], classes = [], caches = []
    cdef set builtins = set()
    cdef PyTypeObject *kind
    cdef PyTypeObject *of_caches = <PyTypeObject *><PyObject *>cache_type
    cdef PyTypeObject *known[4]
    cdef PyTypeObject *other = NULL
    cdef size_t many = 0, at
    cdef Py_ssize_t index
    cdef PyObject *one
    for index in range(len(objects)):
        one = <PyObject *>objects[index]
        kind = Py_TYPE(one)
        if kind == other:
            continue
        if PyType_Check(one):
            classes.append(<object>one)
            continue
        if kind == of_caches:
            caches.append(<object>one)
            continue
        if PyCFunction_CheckExact(one):
            builtins.add(<uintptr_t>cyhot_c_function(one).m_ml)
            continue
        for at in range(many):
            if known[at] == kind:
                break
        else:
            if many == 4 or not _is_function_type(kind):
                other = kind  # the next one is probably of the same type
                continue
            known[many] = kind
            many += 1
        functions.append((<object>one, <uintptr_t>cyhot_c_function(one).m_ml))
    return functions, classes, caches, builtins


cdef bint _is_function_type(PyTypeObject *kind) noexcept:
    cdef const char *name = (<type_object *>kind).tp_name
    return (
        strstr(name, b"cython_function_or_method") != NULL
        or strstr(name, b"fused_cython_function") != NULL
    )


def is_fused(function):
    """Whether a function of Cython's is a fused one, or a specialisation of one."""
    return strstr((<type_object *>Py_TYPE(<PyObject *>function)).tp_name, b"fused_cython") != NULL


def made_from(list objects, definitions):
    """The functions without binding, bound or not, that were made from some definitions.

    Args:
        objects: Where to look.
        definitions: The definitions' addresses.

    Returns:
        Each with the address of its definition.
    """
    cdef list found = []
    cdef Seeker seeker = Seeker.__new__(Seeker, list(definitions))
    cdef uintptr_t definition
    for one in objects:
        if PyCFunction_CheckExact(<PyObject *>one):
            definition = <uintptr_t>cyhot_c_function(<PyObject *>one).m_ml
            if _has(&seeker.sought, definition):
                found.append((one, definition))
    return found


def builtin_of(uintptr_t definition):
    """A function without binding, made from a definition; it is not to be called."""
    return PyCFunction_NewEx(<method_def *>definition, NULL, NULL)


def attributes(function):
    """The dict of a function's attributes, None if it has none so far."""
    cdef PyObject **found = _PyObject_GetDictPtr(<PyObject *>function)
    return <object>found[0] if found and found[0] else None


def own_attributes(function):
    """The same, made if need be."""
    return PyObject_GenericGetDict(function, NULL)


def signatures(function, Image image):
    """The specialisations of a fused function, as the dict that it has; None for others."""
    if not image.raw.signatures or not is_fused(function):
        return None
    cdef PyObject *found = (<PyObject **>(<char *><PyObject *>function + image.raw.signatures))[0]
    return <object>found if found else None


def has_closure(function, Image image):
    """Whether a function of Cython's captured variables of the one around it."""
    return (<void **>(<char *><PyObject *>function + image.raw.closure))[0] != NULL


def fits_instances(old, new, names):
    """Why instances of an old class cannot be instances of the new one, None if they can.

    Args:
        old: A cdef class.
        new: Its new version.
        names: The old class for the address of each new one.
    """
    cdef type_object *a = <type_object *><PyObject *>old
    cdef type_object *b = <type_object *><PyObject *>new
    base = <object>b.tp_base
    base = names.get(<uintptr_t>b.tp_base, base)
    if <PyObject *>base != <PyObject *>a.tp_base:
        return f"its base class was {(<object>a.tp_base).__qualname__} and is {base.__qualname__}"
    if a.tp_basicsize != b.tp_basicsize or a.tp_itemsize != b.tp_itemsize:
        return f"its instances had {a.tp_basicsize} bytes and have {b.tp_basicsize}"
    if (a.tp_flags & CYHOT_KIND) != (b.tp_flags & CYHOT_KIND):
        return "whether its instances hold Python objects, or have a __dict__, has changed"
    if (
        a.tp_dictoffset != b.tp_dictoffset
        or a.tp_weaklistoffset != b.tp_weaklistoffset
        or a.tp_vectorcall_offset != b.tp_vectorcall_offset
    ):
        return "where its instances have their __dict__ or their weak references has changed"
    return None


def exported(module_dict):
    """What a module exports to C: for each name the address and the signature."""
    capi = module_dict.get("__pyx_capi__") or {}
    return {name: _capsule(capsule) for name, capsule in capi.items()}


cdef extern from "Python.h":
    const char *PyCapsule_GetName(object) except? NULL
    void *PyCapsule_GetPointer(object, const char *) except NULL


cdef tuple _capsule(capsule):
    cdef const char *name = PyCapsule_GetName(capsule)
    return <uintptr_t>PyCapsule_GetPointer(capsule, name), (<bytes>name if name else b"").decode()


def pointed(uintptr_t address):
    """What a pointer points to, as an address."""
    return (<uintptr_t *>address)[0]


def references(one):
    """How many references there are to an object, but for the caller's argument."""
    return Py_REFCNT(<PyObject *>one) - 1


# Writing -----------------------------------------------------------------------------------------

cdef class Journal:
    """All writes of a swap, and what was there before."""

    cdef list log
    cdef readonly list graveyard
    cdef readonly list modified

    def __cinit__(self):
        self.log = []
        self.graveyard = []
        self.modified = []

    cdef int write(self, void *address, void *value) except -1:
        """A plain pointer."""
        cdef void *before = (<void **>address)[0]
        if before == value:
            return 0
        self.log.append((0, <uintptr_t>address, <uintptr_t>before))
        cyhot_store(address, value)
        return 0

    cdef int write_object(self, PyObject **address, PyObject *value) except -1:
        """A pointer that owns a reference."""
        cdef PyObject *before = address[0]
        if before == value:
            return 0
        self.log.append((1, <uintptr_t>address, <object>before if before else _NOTHING))
        Py_XINCREF(value)
        cyhot_store(<void *>address, <void *>value)
        Py_XDECREF(before)  # the log has it
        return 0

    cdef int write_bytes(self, void *address, void *source, size_t size) except -1:
        cdef bytes before = (<char *>address)[:size]
        self.log.append((2, <uintptr_t>address, before))
        memcpy(address, source, size)
        return 0

    cdef int set_item(self, where, key, value) except -1:
        """An entry of a dict, whatever the dict's class thinks of it."""
        cdef PyObject *before = PyDict_GetItemWithError(where, key)
        if before == <PyObject *>value:
            return 0
        self.log.append((3, where, key, <object>before if before else _NOTHING))
        if PyODict_Check(<PyObject *>where):
            PyODict_SetItem(<PyObject *>where, <PyObject *>key, <PyObject *>value)
        else:
            PyDict_SetItem(where, key, value)
        return 0

    cdef int delete_item(self, where, key) except -1:
        cdef PyObject *before = PyDict_GetItemWithError(where, key)
        if not before:
            return 0
        self.log.append((3, where, key, <object>before))
        if PyODict_Check(<PyObject *>where):
            PyODict_DelItem(<PyObject *>where, <PyObject *>key)
        else:
            PyDict_DelItem(where, key)
        return 0

    cdef int set_attribute(self, owner, name, PyObject *value) except -1:
        """An attribute of a Python class, with the slots that depend on it; NULL to delete it."""
        cdef PyObject *before = PyDict_GetItemWithError(
            <object>(<type_object *><PyObject *>owner).tp_dict, name
        )
        if before == value:
            return 0
        self.log.append((4, owner, name, <object>before if before else _NOTHING))
        (<type_object *>&PyType_Type).tp_setattro(<PyObject *>owner, <PyObject *>name, value)
        return 0

    cdef int set_class(self, instance, kind) except -1:
        self.log.append((5, instance, type(instance)))
        PyObject_GenericSetAttr(instance, "__class__", kind)
        return 0

    cdef int set_type(self, PyObject *instance, PyTypeObject *kind) except -1:
        """The type of an instance of a cdef class, which owns no reference to it."""
        self.log.append((6, <uintptr_t>instance, <uintptr_t>Py_TYPE(instance)))
        Py_SET_TYPE(instance, kind)
        return 0

    cdef int set_bases(self, owner, bases) except -1:
        self.log.append((7, owner, owner.__bases__))
        (<type_object *>&PyType_Type).tp_setattro(
            <PyObject *>owner, <PyObject *>"__bases__", <PyObject *>bases
        )
        return 0

    cdef int touch(self, owner, name) except -1:
        """Have a Python class look for a special method again."""
        self.log.append((9, owner, name))
        _touch(owner, name)
        return 0

    cdef int replace_in_set(self, where, before, after) except -1:
        self.log.append((8, where, before, after))
        PySet_Discard(where, before)
        PySet_Add(where, after)
        return 0

    cdef int add_to_set(self, where, member) except -1:
        self.log.append((10, where, member))
        PySet_Add(where, member)
        return 0

    cdef int discard_from_set(self, where, member) except -1:
        self.log.append((11, where, member))
        PySet_Discard(where, member)
        return 0

    cdef int note_modified(self, PyTypeObject *kind) except -1:
        PyType_Modified(kind)
        self.modified.append(<object>kind)
        return 0

    def undo(self):
        """Take all back, the last first."""
        cdef PyObject *before
        cdef PyObject **address
        cdef list held = []
        while self.log:
            entry = self.log.pop()
            held.append(entry)
            kind = entry[0]
            if kind == 0:
                cyhot_store(<void *><uintptr_t>entry[1], <void *><uintptr_t>entry[2])
            elif kind == 1:
                address = <PyObject **><uintptr_t>entry[1]
                before = address[0]
                if before:
                    held.append(<object>before)
                if entry[2] is _NOTHING:
                    cyhot_store(<void *>address, NULL)
                else:
                    Py_INCREF(entry[2])
                    cyhot_store(<void *>address, <void *>entry[2])
                Py_XDECREF(before)
            elif kind == 2:
                memcpy(<void *><uintptr_t>entry[1], <char *>(<bytes>entry[2]), len(entry[2]))
            elif kind == 3:
                where, key, value = entry[1:]
                if PyODict_Check(<PyObject *>where):
                    if value is _NOTHING:
                        PyODict_DelItem(<PyObject *>where, <PyObject *>key)
                    else:
                        PyODict_SetItem(<PyObject *>where, <PyObject *>key, <PyObject *>value)
                elif value is _NOTHING:
                    PyDict_DelItem(where, key)
                else:
                    PyDict_SetItem(where, key, value)
            elif kind == 4:
                (<type_object *>&PyType_Type).tp_setattro(
                    <PyObject *>entry[1],
                    <PyObject *>entry[2],
                    NULL if entry[3] is _NOTHING else <PyObject *>entry[3],
                )
            elif kind == 5:
                PyObject_GenericSetAttr(entry[1], "__class__", entry[2])
            elif kind == 6:
                Py_SET_TYPE(<PyObject *><uintptr_t>entry[1], <PyTypeObject *><uintptr_t>entry[2])
            elif kind == 7:
                (<type_object *>&PyType_Type).tp_setattro(
                    <PyObject *>entry[1], <PyObject *>"__bases__", <PyObject *>entry[2]
                )
            elif kind == 9:
                _touch(entry[1], entry[2])
            elif kind == 10:
                PySet_Discard(entry[1], entry[2])
            elif kind == 11:
                PySet_Add(entry[1], entry[2])
            else:
                PySet_Discard(entry[1], entry[3])
                PySet_Add(entry[1], entry[2])
        for one in self.modified:
            PyType_Modified(<PyTypeObject *><PyObject *>one)
        return held

    def __len__(self):
        return len(self.log)


cdef object _NOTHING = object()


cdef int _touch(owner, name) except -1:
    cdef type_object *kind = <type_object *>&PyType_Type
    if not PyDict_GetItemWithError(<object>(<type_object *><PyObject *>owner).tp_dict, name):
        kind.tp_setattro(<PyObject *>owner, <PyObject *>name, <PyObject *>None)
        kind.tp_setattro(<PyObject *>owner, <PyObject *>name, NULL)
    return 0


# Parts of a commit -------------------------------------------------------------------------------

cdef int patch_function(Journal journal, old, new, Image image) except -1:
    """Give an old function object the code, and all that belongs to it, of a new one.

    Its identity, weak references, attributes and class stay. What its running frames borrowed (a
    closure, computed defaults) goes to the graveyard, since nobody knows when they return.
    """
    cdef char *a = <char *><PyObject *>old
    cdef char *b = <char *><PyObject *>new
    cdef image_tables *at = image.raw
    cdef size_t offset
    cdef size_t owned[9]
    owned[:] = [
        at.name, at.qualified, at.doc, at.globals, at.code, at.defaults_tuple, at.defaults_kwdict,
        at.annotations, 0,
    ]
    for offset in owned:
        if offset:
            journal.write_object(<PyObject **>(a + offset), (<PyObject **>(b + offset))[0])
    for offset in (at.closure, at.defaults):
        before = (<PyObject **>(a + offset))[0]
        if before and before != (<PyObject **>(b + offset))[0]:
            journal.graveyard.append(<object>before)
        journal.write_object(<PyObject **>(a + offset), (<PyObject **>(b + offset))[0])
    journal.write_object(
        &cyhot_c_function(<PyObject *>old).m_module, cyhot_c_function(<PyObject *>new).m_module
    )
    journal.write(a + at.defaults_getter, (<void **>(b + at.defaults_getter))[0])
    journal.write_bytes(a + at.flags, b + at.flags, sizeof(int))
    # Code last; nothing of it runs between the two.
    patch_builtin(journal, old, new)
    return 0


cdef int patch_builtin(Journal journal, old, new) except -1:
    cdef c_function *a = cyhot_c_function(<PyObject *>old)
    cdef c_function *b = cyhot_c_function(<PyObject *>new)
    journal.write(&a.m_ml, b.m_ml)
    journal.write(&a.vectorcall, b.vectorcall)
    return 0


cdef int patch_definition(Journal journal, uintptr_t old, uintptr_t new) except -1:
    """Lead all functions that were made from an old definition to new code."""
    cdef method_def *a = <method_def *>old
    cdef method_def *b = <method_def *>new
    journal.write(&a.ml_meth, b.ml_meth)
    journal.write(<void *>&a.ml_doc, <void *>b.ml_doc)
    return 0


def proxy_like(proxy, to):
    """A proxy of an object, with the callback of another proxy."""
    return PyWeakref_NewProxy(to, (<weak_reference *><PyObject *>proxy).wr_callback)


def silence(list references):
    """Have weak references to what goes now not tell of it: others have taken their places."""
    for reference in references:
        _PyWeakref_ClearRef(<PyObject *>reference)


def same_call(uintptr_t old, uintptr_t new):
    """Whether functions made from two definitions are called in the same way."""
    return (<method_def *>old).ml_flags == (<method_def *>new).ml_flags


cdef void **slot_of(type_object *kind, size_t index) noexcept:
    cdef int suite = cyhot_slots[index].suite
    cdef char *inside
    if suite < 0:
        return <void **>(<char *>kind + cyhot_slots[index].offset)
    inside = (<char **>(<char *>kind + cyhot_suites[suite]))[0]
    return <void **>(inside + cyhot_slots[index].offset) if inside else NULL


cdef struct Change:
    void *before[128]
    void *after[128]
    bint on[128]
    void *suite_before[8]
    void *suite_after[8]


cdef int patch_slots(Journal journal, old, new) except -1:
    """Give an old cdef class, and the subclasses that inherited them, the new one's slots."""
    cdef type_object *a = <type_object *><PyObject *>old
    cdef type_object *b = <type_object *><PyObject *>new
    cdef Change change
    cdef void **p
    cdef void **q
    cdef size_t index
    cdef int suite
    for suite in range(CYHOT_SUITES):
        change.suite_before[suite] = (<void **>(<char *>a + cyhot_suites[suite]))[0]
        change.suite_after[suite] = (<void **>(<char *>b + cyhot_suites[suite]))[0]
    for index in range(CYHOT_SLOTS):
        p, q = slot_of(a, index), slot_of(b, index)
        change.before[index] = p[0] if p else NULL
        change.after[index] = q[0] if q else NULL
        change.on[index] = change.before[index] != change.after[index]
    patch_inherited(journal, old, &change)
    for suite in range(CYHOT_SUITES):
        journal.write(<char *>a + cyhot_suites[suite], change.suite_after[suite])
    for index in range(CYHOT_SLOTS):
        p = slot_of(a, index)
        if p and change.on[index] and p[0] == change.before[index]:
            if cyhot_slots[index].suite < 0:
                journal.write(p, change.after[index])
    journal.write(&a.tp_vectorcall, b.tp_vectorcall)
    journal.write(&a.tp_methods, b.tp_methods)
    journal.write(&a.tp_members, b.tp_members)
    journal.write(&a.tp_getset, b.tp_getset)
    journal.write(<void *>&a.tp_doc, <void *>b.tp_doc)
    journal.write(
        &a.tp_flags, <void *>((a.tp_flags & ~CYHOT_LOOKS) | (b.tp_flags & CYHOT_LOOKS))
    )
    return 0


cdef int patch_inherited(Journal journal, kind, Change *change) except -1:
    cdef Change mine
    cdef type_object *sub
    cdef void **p
    cdef size_t index
    cdef int suite
    for one in type.__subclasses__(kind):
        sub = <type_object *><PyObject *>one
        mine = change[0]
        if not sub.tp_flags & Py_TPFLAGS_HEAPTYPE:
            for suite in range(CYHOT_SUITES):  # a suite may be the base's own
                p = <void **>(<char *>sub + cyhot_suites[suite])
                if p[0] == change.suite_before[suite]:
                    journal.write(p, change.suite_after[suite])
        for index in range(CYHOT_SLOTS):
            if not mine.on[index]:
                continue
            p = slot_of(sub, index)
            if p and p[0] == mine.before[index]:
                journal.write(p, mine.after[index])
            elif (p[0] if p else NULL) != mine.after[index]:
                mine.on[index] = False  # overridden from here on
        patch_inherited(journal, one, &mine)
        journal.note_modified(<PyTypeObject *>sub)
    return 0


cdef int look_again(kind, name) except -1:
    """Have Python subclasses find a special method that a cdef class has got or lost.

    Where one name stands for two slots, Python gives a subclass a slot that looks for the name in
    one of them, and its base's own in the other: those were not the base's.
    """
    cdef type_object *sub
    for one in type.__subclasses__(kind):
        sub = <type_object *><PyObject *>one
        if name in <object>sub.tp_dict:
            continue
        if sub.tp_flags & Py_TPFLAGS_HEAPTYPE and not sub.tp_flags & Py_TPFLAGS_IMMUTABLETYPE:
            setter = (<type_object *>&PyType_Type).tp_setattro
            setter(<PyObject *>one, <PyObject *>name, <PyObject *>None)
            setter(<PyObject *>one, <PyObject *>name, NULL)
        else:
            look_again(one, name)
    return 0


cdef int patch_descriptor(Journal journal, old, new) except -1:
    cdef void **a
    cdef void **b
    cdef void **c
    cdef void **d
    cyhot_descriptor_fields(<PyObject *>old, &a, &c)
    cyhot_descriptor_fields(<PyObject *>new, &b, &d)
    journal.write(a, b[0])
    if c:
        journal.write(c, d[0])
    return 0


def is_descriptor(one):
    """Whether something is what C methods, C fields and slots look like in a class."""
    return bool(cyhot_is_descriptor(<PyObject *>one))


cdef int replace_in(Journal journal, holder, dict olds, Seeker seeker) except -1:
    """Replace all references to new objects that an object holds by references to the old."""
    cdef PyObject *one = <PyObject *>holder
    cdef PyObject **words
    cdef size_t index, many
    cdef uintptr_t wanted
    if PyDict_Check(one):
        replace_in_dict(journal, holder, olds)
    elif PyList_Check(one):
        for index in range(<size_t>PyList_GET_SIZE(one)):
            wanted = <uintptr_t>PyList_GET_ITEM(one, index)
            if wanted in olds:
                words = (<list_object *>one).ob_item
                journal.write_object(words + index, <PyObject *>olds[wanted])
    elif PyAnySet_Check(one):
        if not PyFrozenSet_Check(one):
            for member in [member for member in holder if <uintptr_t><PyObject *>member in olds]:
                journal.replace_in_set(holder, member, olds[<uintptr_t><PyObject *>member])
        return 0
    if PyList_CheckExact(one) or type(holder) is dict:
        return 0
    words = <PyObject **>one
    many = cyhot_words(one)
    for index in range(2, many):  # behind the reference count and the type
        wanted = <uintptr_t>words[index]
        if not _has(&seeker.sought, wanted):
            continue
        old = olds[wanted]
        if seeker.counts(one, words + index, <PyObject *>old):
            journal.write_object(words + index, <PyObject *>old)
        elif not PyWeakref_Check(one) and not PyWeakref_Check(<PyObject *>old):
            # (The list of an object's weak references is for them alone to mend.)
            journal.write(words + index, <void *><PyObject *>old)
    if CYHOT_HAS_DICT(Py_TYPE(one)) and seeker.holds(one) and not PyType_Check(one):
        replace_in_dict(journal, PyObject_GenericGetDict(holder, NULL), olds)
    return 0


cdef extern from *:
    ctypedef struct list_object "PyListObject":
        PyObject **ob_item


cdef int replace_in_dict(Journal journal, where, dict olds) except -1:
    cdef bint keys = False
    cdef list items = list(dict.items(where))
    for key, value in items:
        if <uintptr_t><PyObject *>value in _hidden:
            del _hidden[<uintptr_t><PyObject *>value]
            PyDict_DelItem(where, key)
        elif <uintptr_t><PyObject *>key in olds:
            keys = True
        elif <uintptr_t><PyObject *>value in olds and not _lists_subclass(key, value):
            journal.set_item(where, key, olds[<uintptr_t><PyObject *>value])
    if not keys:
        return 0
    # The order of the entries stays, where asking the other keys for their hash runs no code.
    plain = all(type(key) in _PLAIN or <uintptr_t><PyObject *>key in olds for key, _ in items)
    for key, value in items:
        if plain or <uintptr_t><PyObject *>key in olds:
            journal.delete_item(where, key)
    for key, value in items:
        if plain or <uintptr_t><PyObject *>key in olds:
            value = olds.get(<uintptr_t><PyObject *>value, value)
            journal.set_item(where, olds.get(<uintptr_t><PyObject *>key, key), value)
    return 0


cdef list take_hashed(Journal journal, where, members):
    """Take tuples whose hash is about to change out of a set or a dict's keys.

    Of a dict all entries from the first of them on, so that their order stays.
    """
    cdef list taken = []
    if PyAnySet_Check(<PyObject *>where):
        taken = [(member, None) for member in where if id(member) in members]
        for member, _ in taken:
            journal.discard_from_set(where, member)
        return taken
    for key, value in list(dict.items(where)):
        if id(key) in members or (taken and type(key) in _PLAIN):
            taken.append((key, value))
    for key, _ in taken:
        journal.delete_item(where, key)
    return taken


cdef int put_hashed(Journal journal, where, list taken, dict olds) except -1:
    for key, value in taken:
        if PyAnySet_Check(<PyObject *>where):
            journal.add_to_set(where, key)
        else:
            journal.set_item(where, key, olds.get(<uintptr_t><PyObject *>value, value))
    return 0


cdef bint _lists_subclass(key, value) except -1:
    """Whether an entry of a dict is how a class knows a subclass: that is no one else's matter."""
    if type(key) is not int or type(value) is not _ref:
        return False
    kind = value()
    return <uintptr_t><PyObject *>kind == key


cdef type _ref = weakref.ref
cdef frozenset _PLAIN = frozenset({
    str, int, float, bytes, bool, type(None), type, types.FunctionType, types.BuiltinFunctionType,
})


cdef int replace_in_image(Journal journal, Image image, dict olds, list kinds) except -1:
    """Lead an image's own C variables from new objects to old ones."""
    cdef size_t index
    cdef uintptr_t wanted
    cdef PyObject **word
    cdef set unowned = set()
    cdef type_row *row = image.raw.types
    cdef variable_row *variable = image.raw.variables
    while row.made:
        unowned.add(<uintptr_t>row.used)
        wanted = <uintptr_t>row.used[0]
        if wanted in olds:
            journal.write(row.used, <void *><PyObject *>olds[wanted])
        row += 1
    for index in range(image.raw.state_words):
        word = <PyObject **>(image.raw.state + index)
        wanted = <uintptr_t>word[0]
        if wanted in olds and <uintptr_t>word not in unowned:
            journal.write_object(word, <PyObject *>olds[wanted])
    if <uintptr_t>image.raw.module[0] in olds:
        old = olds[<uintptr_t>image.raw.module[0]]
        journal.write_object(image.raw.module, <PyObject *>old)
    for kind in kinds:
        wanted = (<uintptr_t *>variable.address)[0] if variable.size == sizeof(void *) else 0
        if wanted in olds:
            if kind == "plain":
                journal.write(variable.address, <void *><PyObject *>olds[wanted])
            else:
                journal.write_object(<PyObject **>variable.address, <PyObject *>olds[wanted])
        variable += 1
    return 0


cdef int rebase(Journal journal, kind, dict olds, frozenset old_classes) except -1:
    """Have a cdef class that is new derive from old classes instead of their new versions."""
    cdef type_object *one = <type_object *><PyObject *>kind
    cdef uintptr_t base = <uintptr_t>one.tp_base
    if base in olds:  # a static type owns no reference to its base
        journal.write(&one.tp_base, <void *><PyObject *>olds[base])
    for base_of in one_bases(kind):
        if base_of in old_classes:  # others know of it since it was made
            add_subclass(journal, base_of, kind)
    journal.note_modified(<PyTypeObject *>one)
    return 0


cdef tuple one_bases(kind):
    return <object>(<type_object *><PyObject *>kind).tp_bases


cdef int add_subclass(Journal journal, base, kind) except -1:
    """Have a class know of a subclass, so that it hears of changes."""
    cdef type_object *one = <type_object *><PyObject *>base
    if not one.tp_subclasses:
        known = {}
        journal.write_object(&one.tp_subclasses, <PyObject *>known)
    known = <object>one.tp_subclasses
    journal.set_item(known, PyLong_FromVoidPtr(<PyObject *>kind), PyWeakref_NewRef(kind, NULL))
    return 0


cdef int forget_modifications(kind) except -1:
    """Have swaps not count as what Python takes for a class that changes all the time."""
    cyhot_forget_modifications(<PyTypeObject *><PyObject *>kind)
    for one in type.__subclasses__(kind):
        forget_modifications(one)
    return 0


cdef dict _hidden = {}
"""The entries of lists of subclasses that `hide` has left empty, by their addresses."""


cdef int hide(kind) except -1:
    """Take a cdef class that nobody derives from any more out of its bases' lists of subclasses.

    Its entry there stays until the next swap looks through the list.
    """
    cdef PyObject *known = PyWeakref_NewRef_borrowed(kind)
    if known:
        _PyWeakref_ClearRef(known)
        PyObject_GC_UnTrack(known)
        _hidden[<uintptr_t>known] = <object>known
    return 0


cdef PyObject *PyWeakref_NewRef_borrowed(kind) except? NULL:
    """The weak reference without a callback, the one that lists of subclasses have."""
    reference = PyWeakref_NewRef(kind, NULL)
    return <PyObject *>reference if Py_REFCNT(<PyObject *>reference) > 1 else NULL


cdef void *base_of(void *address) noexcept:
    """Where the image that an address lies in starts, NULL if it lies in none."""
    cdef dl_info found
    return found.dli_fbase if dladdr(address, &found) else NULL


cdef bint lies_in(void *base, void *end, void *address) noexcept:
    """Whether an address lies in the image that starts and ends there; its end may be unknown."""
    return base <= address < end if end else base_of(address) == base


def retire(Image image, dict olds, list objects):
    """Take what lives as long as an image does, for ever, out of the collector's sight.

    Each image has types of its own (those that older ones stand for, and those of closures and
    memoryviews), and constants. They can neither go nor be part of a circle.

    Args:
        image: The image that runs now.
        olds: The old object for the address of each new one.
        objects: What the collector knows.
    """
    cdef void *base = base_of(image.raw)
    cdef void *end = cyhot_image_end(base)
    cdef set own = {<uintptr_t><PyObject *>kind for kind in image.types}
    cdef set kinds = set()
    cdef list tuples = []
    cdef Seeker state, retired
    cdef size_t index
    cdef PyObject *word
    cdef Py_ssize_t at
    for index in range(image.raw.state_words):
        word = <PyObject *>image.raw.state[index]
        if word and lies_in(base, end, word) and is_plain_type(word):
            if <uintptr_t>word not in own:
                hide(<object>word)
            if <uintptr_t>word not in own or <uintptr_t>word in olds:
                kinds.add(<uintptr_t>word)
    for kind in image.types:
        if <uintptr_t><PyObject *>kind in olds:
            kinds.add(<uintptr_t><PyObject *>kind)
    for index in kinds:
        _retire_type(<type_object *>index)
    retired = Seeker.__new__(Seeker, kinds)
    words = [<uintptr_t>image.raw.state[index] for index in range(image.raw.state_words)]
    state = Seeker.__new__(Seeker, [one for one in words if one])
    for at in range(len(objects)):
        word = <PyObject *>objects[at]
        if PySlice_Check(word):
            if _has(&state.sought, <uintptr_t>word) and _is_leaf(word):
                PyObject_GC_UnTrack(word)
        elif PyTuple_CheckExact(word):
            if _has(&state.sought, <uintptr_t>word):
                tuples.append(<object>word)
        elif _has(&retired.sought, <uintptr_t>Py_TYPE(word)) and _is_constant(Py_TYPE(word)):
            PyObject_GC_UnTrack(word)
    for one in tuples:
        if _is_leaf(<PyObject *>one):
            PyObject_GC_UnTrack(<PyObject *>one)


cdef bint _is_leaf(PyObject *one) noexcept:
    """Whether an object refers to nothing that the collector looks at."""
    return not cyhot_traverse(one, _is_tracked, NULL)


cdef int _is_tracked(PyObject *one, void *argument) noexcept:
    return PyObject_IS_GC(one) and PyObject_GC_IsTracked(one)


cdef bint is_plain_type(PyObject *word) noexcept:
    """Whether something in an image is a type; it may be no object at all."""
    return <uintptr_t>word % sizeof(void *) == 0 and Py_TYPE(word) == <PyTypeObject *>&PyType_Type


cdef bint _is_constant(PyTypeObject *kind) noexcept:
    """Whether its instances are the constants that memoryviews' code has."""
    return strstr((<type_object *>kind).tp_name, b".Enum") != NULL


cdef int _retire_type(type_object *kind) except -1:
    cdef PyObject *callback
    for value in dict.values(<object>kind.tp_dict):
        if cyhot_is_descriptor(<PyObject *>value) or PyCFunction_CheckExact(<PyObject *>value):
            PyObject_GC_UnTrack(<PyObject *>value)
    PyObject_GC_UnTrack(kind.tp_dict)
    PyObject_GC_UnTrack(kind.tp_mro)
    PyObject_GC_UnTrack(kind.tp_bases)
    if kind.tp_subclasses and PyDict_Check(kind.tp_subclasses):
        PyObject_GC_UnTrack(kind.tp_subclasses)
    # Its base's list of subclasses has one, the registry of an ABC another with what empties it.
    for reference in weakref.getweakrefs(<object><PyObject *>kind):
        if Py_REFCNT(<PyObject *>reference) > 2:  # somebody but the list and we holds it
            callback = (<weak_reference *><PyObject *>reference).wr_callback
            if callback and PyCFunction_CheckExact(callback):
                PyObject_GC_UnTrack(callback)
            PyObject_GC_UnTrack(<PyObject *>reference)
    return 0


class Plan:
    """What a commit is to do; all of it was found out before.

    Attributes:
        images: For each module the new image, and the kinds of its C variables.
        functions: (old function, new function).
        builtins: The same, of functions that Cython made without binding.
        definitions: (address of the old PyMethodDef, of the new one).
        classes: (old cdef class, new one), bases first.
        class_dicts: Of those, (old class, name, new value or `NOTHING`).
        inherited: (Python class, special method that a cdef class it derives from gains or loses).
        python: Old Python classes that get new contents.
        python_classes: (old class, name, new value or `NOTHING`).
        bases: (old class, its new bases).
        descriptors: (old descriptor, new one).
        instances: Addresses of instances of new cdef classes.
        made: New cdef classes that have no old version.
        holders: Objects that hold references to new objects.
        hashed: (dict or set, the ids of tuples in it that hold references to new objects).
        olds: The old object for the address of each new one.
        owners: The class for the address of each dict that is a class's.
        tables: (addresses of the old method tables, address of the new, entries).
        homes: (image, index of the class, address of its table).
        entries: (address, value): entries of method tables and pointers to other modules' code.
        kept: (new image, index, old image, index, kind): C variables whose value stays.
        dicts: (dict, name, new value or `NOTHING`).
    """


NOTHING = _NOTHING


class UnfitBases(TypeError):
    """A class cannot get its new bases; its arguments are the class and what CPython says."""


def commit(plan, Image image_of_functions):
    """Do what was planned, all of it or nothing.

    Args:
        plan: A `Plan`.
        image_of_functions: Any image of the same Cython: how its function objects are laid out.

    Returns:
        The journal; what was displaced lives as long as it does.
    """
    cdef Journal journal = Journal.__new__(Journal)
    try:
        _commit(journal, plan, image_of_functions)
    except BaseException:
        journal.undo()
        raise
    return journal


cdef int _commit(Journal journal, plan, Image layout) except -1:
    cdef dict olds = plan.olds
    cdef Seeker seeker = Seeker.__new__(Seeker, list(olds))
    cdef Image image, before
    cdef uintptr_t address
    cdef size_t index
    cdef PyObject *instance
    cdef type_row *row
    for owner, name in plan.inherited:  # undone last, when the classes are as they were
        journal.touch(owner, name)
    for old, new in plan.functions:
        patch_function(journal, old, new, layout)
        replace_in(journal, old, olds, seeker)
    for old, new in plan.builtins:
        patch_builtin(journal, old, new)
    for old, new in plan.definitions:
        patch_definition(journal, old, new)
    for address, offset, table in plan.instances:
        instance = <PyObject *>address
        old = olds.get(<uintptr_t>Py_TYPE(instance))
        if old is not None:
            journal.set_type(instance, <PyTypeObject *><PyObject *>old)
        if table:
            journal.write(<char *>instance + <size_t>offset, <void *><uintptr_t>table)
    for old, new in plan.classes:
        patch_slots(journal, old, new)
    for old, new in plan.descriptors:
        patch_descriptor(journal, old, new)
    for old, name, value in plan.class_dicts:
        where = <object>(<type_object *><PyObject *>old).tp_dict
        if value is _NOTHING:
            journal.delete_item(where, name)
        else:
            journal.set_item(where, name, value)
    for old, _ in plan.classes:
        journal.note_modified(<PyTypeObject *><PyObject *>old)
    for owner, name in plan.inherited:
        journal.touch(owner, name)
    for old, bases in plan.bases:
        try:
            journal.set_bases(old, bases)
        except TypeError as error:
            raise UnfitBases(old, str(error)) from error
    for old, name, value in plan.python_classes:
        journal.set_attribute(old, name, NULL if value is _NOTHING else <PyObject *>value)
    hashed = [take_hashed(journal, where, members) for where, members in plan.hashed]
    for holder in plan.holders:
        replace_in(journal, holder, olds, seeker)
        owner = plan.owners.get(<uintptr_t><PyObject *>holder)
        if owner is not None:
            journal.note_modified(<PyTypeObject *><PyObject *>owner)
        if PyType_Check(<PyObject *>holder):
            for base in one_bases(holder):
                # (A version that is only there until it is collected is no subclass.)
                if base in plan.old_classes and <uintptr_t><PyObject *>holder not in olds:
                    add_subclass(journal, base, holder)
            journal.note_modified(<PyTypeObject *><PyObject *>holder)
    for (where, _), entries in zip(plan.hashed, hashed):
        put_hashed(journal, where, entries, olds)
    for holder in plan.holders:  # now that the new classes have the old ones for bases
        if <uintptr_t>Py_TYPE(<PyObject *>holder) in olds:
            journal.set_class(holder, olds[<uintptr_t>Py_TYPE(<PyObject *>holder)])
    for kind in plan.made:
        rebase(journal, kind, olds, plan.old_classes)
    for image, kinds in plan.images:
        replace_in_image(journal, image, olds, kinds)
    for image, index, address in plan.homes:
        row = image.raw.types + index
        journal.write(row.table_used, <void *>address)
    for address, value in plan.entries:
        journal.write(<void *>address, <void *><uintptr_t>value)
    for image, index, before, at, kind in plan.kept:
        keep_variable(journal, image, index, before, at, kind)
    for where, name, value in plan.dicts:
        if value is _NOTHING:
            journal.delete_item(where, name)
        else:
            journal.set_item(where, name, value)
    for old, name, _ in plan.class_dicts:
        if name.startswith("__"):
            look_again(old, name)
    for _, new in plan.classes:
        hide(new)
    for kind in [old for old, _ in plan.classes] + plan.python + journal.modified:
        forget_modifications(kind)
    for dead in journal.graveyard:
        # For ever: whoever borrowed it may still run. The collector need not look at it again.
        Py_INCREF(dead)
        if PyObject_IS_GC(<PyObject *>dead):  # defaults that are all C values are not
            PyObject_GC_UnTrack(<PyObject *>dead)
    return 0


cdef int keep_variable(
    Journal journal, Image image, size_t index, Image before, size_t at, kind
) except -1:
    cdef variable_row *new = image.raw.variables + index
    cdef variable_row *old = before.raw.variables + at
    cdef bytes moved
    if new.size != old.size:
        return 0
    if kind == "object":
        journal.write_object(<PyObject **>new.address, (<PyObject **>old.address)[0])
    elif kind == "slice":  # it owns a buffer: each of the two goes on owning one
        moved = (<char *>new.address)[:new.size]
        journal.write_bytes(new.address, old.address, new.size)
        journal.write_bytes(old.address, <char *>moved, new.size)
    else:
        journal.write_bytes(new.address, old.address, new.size)
    return 0


def leftovers(list objects, olds):
    """Objects that hold references to new objects still."""
    cdef Seeker seeker = Seeker.__new__(Seeker, list(olds))
    return seeker.holders(objects)


def tables_of(Image image):
    """For each cdef class: the addresses of its method table and of the pointer to the one used,
    its number of entries, the table that is used, and where in instances the pointer is."""
    cdef list found = []
    cdef type_row *row = image.raw.types
    while row.made:
        used = <uintptr_t>row.table_used[0] if row.table_used else 0
        found.append((<uintptr_t>row.table, row.entries, used, row.offset))
        row += 1
    return found


def words_at(uintptr_t address, size_t many):
    """So many pointers, as addresses."""
    cdef uintptr_t *words = <uintptr_t *>address
    return [words[index] for index in range(many)]


def type_dict(kind):
    """A class's own dict."""
    return <object>(<type_object *><PyObject *>kind).tp_dict


def type_of(uintptr_t instance):
    """The class of the object at an address."""
    return <object>Py_TYPE(<PyObject *>instance)
