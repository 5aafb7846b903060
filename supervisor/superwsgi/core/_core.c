/* The plain case of what is done for each request, in C. chosen.py has who uses it.

Each function has a twin in Python that knows all cases, and either does exactly what that does, or declines (returns
None) and has changed nothing that anybody sees: then the twin decides. So errors, refusals and whatever is unusual are
in Python alone. Nothing here keeps what a client has sent. Runs with the GIL held; bytes are read by their length. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Keys of the environ, and values of it, made once. */
static struct {
    PyObject *request_method, *server_protocol, *raw_uri, *request_uri, *path_info, *query_string;
    PyObject *host, *connection, *content_length, *transfer_encoding, *upgrade, *expect;
    PyObject *http_1_1, *http_1_0, *empty, *slash;
} words;

static const struct {
    PyObject **word;
    const char *text;
} spelled[] = {
    {&words.request_method, "REQUEST_METHOD"},
    {&words.server_protocol, "SERVER_PROTOCOL"},
    {&words.raw_uri, "RAW_URI"},
    {&words.request_uri, "REQUEST_URI"},
    {&words.path_info, "PATH_INFO"},
    {&words.query_string, "QUERY_STRING"},
    {&words.host, "HTTP_HOST"},
    {&words.connection, "HTTP_CONNECTION"},
    {&words.content_length, "CONTENT_LENGTH"},
    {&words.transfer_encoding, "HTTP_TRANSFER_ENCODING"},
    {&words.upgrade, "HTTP_UPGRADE"},
    {&words.expect, "HTTP_EXPECT"},
    {&words.http_1_1, "HTTP/1.1"},
    {&words.http_1_0, "HTTP/1.0"},
    {&words.empty, ""},
    {&words.slash, "/"},
};

/* The usual methods: _METHODS in http/request/head.py. */
static const char *const method_names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
enum { METHODS = sizeof method_names / sizeof *method_names };
static PyObject *methods[METHODS];

static int is_word(PyObject *text, PyObject *word)
{
    Py_ssize_t size = PyUnicode_GET_LENGTH(word);
    return text == word
           || (PyUnicode_GET_LENGTH(text) == size && PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND
               && memcmp(PyUnicode_DATA(text), PyUnicode_DATA(word), size) == 0);
}

/* Text of bytes that are known to be ASCII. */
static PyObject *ascii_text(const char *data, Py_ssize_t size)
{
    if (size == 0)
        return Py_NewRef(words.empty);
    PyObject *text = PyUnicode_New(size, 127);
    if (text != NULL)
        memcpy(PyUnicode_1BYTE_DATA(text), data, size);
    return text;
}

static int hex_digit(unsigned char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* As urllib.parse.unquote_to_bytes, in latin-1: what is no escape stays as it is. */
static PyObject *unquoted(const char *path, Py_ssize_t size)
{
    char few[256];
    char *decoded = size <= (Py_ssize_t)sizeof few ? few : PyMem_Malloc(size);
    if (decoded == NULL)
        return PyErr_NoMemory();
    Py_ssize_t length = 0;
    for (Py_ssize_t at = 0; at < size; at++) {
        int high, low;
        if (path[at] == '%' && at + 2 < size && (high = hex_digit(path[at + 1])) >= 0
            && (low = hex_digit(path[at + 2])) >= 0) {
            decoded[length++] = (char)(high << 4 | low);
            at += 2;
        }
        else
            decoded[length++] = path[at];
    }
    PyObject *text = PyUnicode_DecodeLatin1(decoded, length, NULL);
    if (decoded != few)
        PyMem_Free(decoded);
    return text;
}

/* What a line of fields may have: no control character. Bytes beyond ASCII are counted in `beyond`. */
static int is_printable(const unsigned char *data, Py_ssize_t size, unsigned *beyond)
{
    unsigned all = 0, bad = 0;
    for (Py_ssize_t at = 0; at < size; at++) {
        all |= data[at];
        bad |= data[at] < 32 || data[at] == 127;
    }
    *beyond = all & 0x80;
    return !bad;
}

/* 1: the field is in the environ; 0: not plain; -1: an error. `goes_on` is what Connection says, if anything. */
static int add_field(PyObject *environ, PyObject *known, const char *line, Py_ssize_t size, int *goes_on)
{
    unsigned beyond;
    const char *colon = memchr(line, ':', size);
    if (colon == NULL || size - (colon - line) < 3 || colon[1] != ' ')
        return 0;
    PyObject *name = PyUnicode_DecodeLatin1(line, colon - line, NULL);
    if (name == NULL)
        return -1;
    PyObject *key = PyDict_GetItemWithError(known, name); /* borrowed: `known` may lose it */
    Py_DECREF(name);
    if (key == NULL)
        return PyErr_Occurred() ? -1 : 0;
    if (!PyUnicode_CheckExact(key) || PyUnicode_GET_LENGTH(key) == 0)
        return 0;
    if (is_word(key, words.content_length) || is_word(key, words.transfer_encoding) || is_word(key, words.upgrade)
        || is_word(key, words.expect))
        return 0;
    const char *start = colon + 2, *end = line + size;
    if (!is_printable((const unsigned char *)start, end - start, &beyond))
        return 0;
    while (start < end && *start == ' ')
        start++;
    while (start < end && end[-1] == ' ')
        end--;
    if (is_word(key, words.connection)) {
        if (end - start == 10 && memcmp(start, "keep-alive", 10) == 0)
            *goes_on = 1;
        else if (end - start == 5 && memcmp(start, "close", 5) == 0)
            *goes_on = 0;
        else
            return 0;
    }
    PyObject *value = beyond ? PyUnicode_DecodeLatin1(start, end - start, NULL) : ascii_text(start, end - start);
    if (value == NULL)
        return -1;
    Py_ssize_t before = PyDict_GET_SIZE(environ);
    int failed = PyDict_SetItem(environ, key, value);
    Py_DECREF(value);
    return failed ? -1 : PyDict_GET_SIZE(environ) > before; /* or else it comes twice */
}

/* The request line's method, target and version, from a head that ends at `end`; what is behind the line, or NULL if it
is not plain. */
struct line {
    PyObject *method, *version;
    const char *target, *behind; /* the target, and the end of it and of the line */
    Py_ssize_t size;
    const char *query; /* its `?`, NULL if it has none */
    int escaped;
};

static int read_line(struct line *line, const char *start, const char *end, Py_ssize_t longest)
{
    Py_ssize_t room = end - start;
    line->method = NULL;
    for (int each = 0; each < METHODS; each++) {
        Py_ssize_t length = PyUnicode_GET_LENGTH(methods[each]);
        if (room > length && start[length] == ' ' && memcmp(start, method_names[each], length) == 0) {
            line->method = methods[each];
            line->target = start + length + 1;
            break;
        }
    }
    if (line->method == NULL || line->target == end || *line->target != '/')
        return 0;
    line->query = NULL;
    line->escaped = 0;
    const char *at = line->target;
    for (; at < end && *at > ' ' && *at < 127; at++) {
        if (*at == '#')
            return 0;
        if (*at == '?' && line->query == NULL)
            line->query = at;
        if (*at == '%' && line->query == NULL)
            line->escaped = 1;
    }
    line->size = at - line->target;
    if (end - at < 9 || memcmp(at, " HTTP/1.", 8) != 0)
        return 0;
    if (at[8] == '1')
        line->version = words.http_1_1;
    else if (at[8] == '0')
        line->version = words.http_1_0;
    else
        return 0;
    line->behind = at + 9;
    return line->behind - start <= longest;
}

/* Set a key and release the value: 0 if that was possible. */
static int put(PyObject *environ, PyObject *key, PyObject *value)
{
    if (value == NULL)
        return -1;
    int failed = PyDict_SetItem(environ, key, value);
    Py_DECREF(value);
    return failed;
}

static int put_line(PyObject *environ, const struct line *line, PyObject *target)
{
    const char *end = line->target + line->size, *path_end = line->query == NULL ? end : line->query;
    Py_ssize_t path_size = path_end - line->target;
    PyObject *path;
    if (line->escaped)
        path = unquoted(line->target, path_size);
    else
        path = path_size == line->size ? Py_NewRef(target) : ascii_text(line->target, path_size);
    PyObject *query = line->query == NULL ? Py_NewRef(words.empty) : ascii_text(path_end + 1, end - path_end - 1);
    int failed = put(environ, words.path_info, path);
    failed |= put(environ, words.query_string, query);
    return failed | PyDict_SetItem(environ, words.request_method, line->method)
           | PyDict_SetItem(environ, words.server_protocol, line->version)
           | PyDict_SetItem(environ, words.raw_uri, target) | PyDict_SetItem(environ, words.request_uri, target);
}

static const char read_plain_doc[] =
    "read_plain(data, at, template, known, hosts, most, longest, fields)\n--\n\n"
    "The plain head that begins at `at` and ends within `most` bytes: where it ends, its environ, made from a copy of\n"
    "`template`, method, target as bytes, version, and whether the connection goes on. None if it is not plain: see\n"
    "http/request/head.py. `known` has keys of the environ by name of the field, `hosts` has valid ones; its line has\n"
    "at most `longest` bytes.";

static PyObject *read_plain(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 8 || !PyBytes_CheckExact(args[0]) || !PyDict_CheckExact(args[2]) || !PyDict_CheckExact(args[3])
        || !PyAnySet_Check(args[4])) {
        PyErr_SetString(PyExc_TypeError, "read_plain(bytes, int, dict, dict, set, int, int, int)");
        return NULL;
    }
    PyObject *template = args[2], *known = args[3], *hosts = args[4];
    Py_ssize_t at = PyLong_AsSsize_t(args[1]), most = PyLong_AsSsize_t(args[5]);
    Py_ssize_t longest = PyLong_AsSsize_t(args[6]), fields = PyLong_AsSsize_t(args[7]);
    if (PyErr_Occurred())
        return NULL;
    Py_ssize_t left = PyBytes_GET_SIZE(args[0]) - at;
    if (at < 0 || left < 4)
        Py_RETURN_NONE;
    const char *data = PyBytes_AS_STRING(args[0]), *start = data + at;
    const char *end = start + (left < most ? left : most); /* of what may be looked at */
    struct line line;
    if (!read_line(&line, start, end, longest))
        Py_RETURN_NONE;

    PyObject *environ = PyDict_Copy(template), *target = NULL, *result = NULL;
    if (environ == NULL)
        return NULL;
    int plain, goes_on = -1;
    const char *next = line.behind;
    for (;;) {
        plain = end - next >= 4 && next[0] == '\r' && next[1] == '\n';
        next += 2;
        if (!plain || (next[0] == '\r' && next[1] == '\n') || (plain = fields-- > 0) == 0)
            break;
        const char *stop = memchr(next, '\r', end - next);
        plain = stop == NULL ? 0 : add_field(environ, known, next, stop - next, &goes_on);
        if (plain <= 0)
            break;
        next = stop;
    }
    if (plain > 0) {
        PyObject *host = PyDict_GetItemWithError(environ, words.host);
        if (host != NULL)
            plain = PySet_Contains(hosts, host);
        else
            plain = PyErr_Occurred() ? -1 : line.version == words.http_1_0;
    }
    if (plain > 0) {
        target = ascii_text(line.target, line.size);
        if (target == NULL || put_line(environ, &line, target) != 0)
            plain = -1;
    }
    if (plain > 0) {
        PyObject *raw = PyBytes_FromStringAndSize(line.target, line.size), *behind = PyLong_FromSsize_t(next + 2 - data);
        PyObject *lasts = goes_on < 0 ? (line.version == words.http_1_1 ? Py_True : Py_False)
                                      : (goes_on ? Py_True : Py_False);
        if (raw != NULL && behind != NULL)
            result = PyTuple_Pack(6, behind, environ, line.method, raw, line.version, lasts);
        Py_XDECREF(raw);
        Py_XDECREF(behind);
    }
    else if (plain == 0)
        result = Py_NewRef(Py_None);
    Py_XDECREF(target);
    Py_DECREF(environ);
    return result;
}

/* A request in hand on the scoreboard: InHandWriter in board/thread_record.py. */
static const char show_request_doc[] =
    "show_request(raw, at, state, now, method, method_bytes, path, path_bytes, id, id_bytes)\n--\n\n"
    "Write two words and three texts at `at`, each text into so many bytes, cut or filled up with zeros: True. None\n"
    "if method or id is not ASCII.";

static char *put_text(char *to, const void *text, Py_ssize_t size, Py_ssize_t room)
{
    Py_ssize_t taken = size < room ? size : room;
    memcpy(to, text, taken);
    memset(to + taken, 0, room - taken);
    return to + room;
}

static PyObject *show_request(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 10 || !PyUnicode_CheckExact(args[4]) || !PyBytes_CheckExact(args[6]) || !PyUnicode_CheckExact(args[8])) {
        PyErr_SetString(PyExc_TypeError, "show_request(buffer, int, int, int, str, int, bytes, int, str, int)");
        return NULL;
    }
    PyObject *method = args[4], *path = args[6], *id = args[8];
    Py_ssize_t at = PyLong_AsSsize_t(args[1]), method_room = PyLong_AsSsize_t(args[5]);
    Py_ssize_t path_room = PyLong_AsSsize_t(args[7]), id_room = PyLong_AsSsize_t(args[9]);
    uint64_t words[2] = {PyLong_AsUnsignedLongLong(args[2]), PyLong_AsUnsignedLongLong(args[3])};
    if (PyErr_Occurred())
        return NULL;
    if (!PyUnicode_IS_ASCII(method) || !PyUnicode_IS_ASCII(id))
        Py_RETURN_NONE;
    Py_buffer raw;
    if (PyObject_GetBuffer(args[0], &raw, PyBUF_WRITABLE) != 0)
        return NULL;
    const Py_ssize_t most = 1 << 20; /* of each text: their sum is no matter of overflow then */
    if (at < 0 || method_room < 0 || path_room < 0 || id_room < 0 || method_room > most || path_room > most
        || id_room > most || at > raw.len
        || raw.len - at < (Py_ssize_t)sizeof words + method_room + path_room + id_room) {
        PyBuffer_Release(&raw);
        PyErr_SetString(PyExc_ValueError, "show_request: beyond the buffer");
        return NULL;
    }
    char *to = (char *)raw.buf + at;
    memcpy(to, words, sizeof words);
    to = put_text(to + sizeof words, PyUnicode_1BYTE_DATA(method), PyUnicode_GET_LENGTH(method), method_room);
    to = put_text(to, PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path), path_room);
    put_text(to, PyUnicode_1BYTE_DATA(id), PyUnicode_GET_LENGTH(id), id_room);
    PyBuffer_Release(&raw);
    Py_RETURN_TRUE;
}

/* An answer in the counts that a thread keeps for itself: ThreadWriter in board/thread_record.py. */
static const char count_doc[] =
    "count(counts, bounds, status, method, sent, app, took)\n--\n\n"
    "Count an answer in words of 64 bits: sums, answers by method and class, and two histograms, whose buckets end at\n"
    "`bounds`, as many words. `app` is -1 for a request that the application has not seen.";

enum { SENT_SUM, APP_TIME_SUM, TIME_SUM, SUMS }; /* the first words */
enum { CLASSES = 4 };

static int64_t word_at(const char *words, Py_ssize_t at)
{
    int64_t word;
    memcpy(&word, words + at * (Py_ssize_t)sizeof word, sizeof word);
    return word;
}

static void add(char *words, Py_ssize_t at, int64_t more)
{
    uint64_t sum = (uint64_t)word_at(words, at) + (uint64_t)more;
    memcpy(words + at * (Py_ssize_t)sizeof sum, &sum, sizeof sum);
}

static Py_ssize_t bucket(const char *bounds, Py_ssize_t size, int64_t took)
{
    Py_ssize_t found = 0;
    while (found < size && took > word_at(bounds, found))
        found++;
    return found;
}

static PyObject *count_answer(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 7 || !PyByteArray_CheckExact(args[0]) || !PyBytes_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "count(bytearray, bytes, int, int, int, int, int)");
        return NULL;
    }
    long status = PyLong_AsLong(args[2]), method = PyLong_AsLong(args[3]);
    int64_t sent = PyLong_AsLongLong(args[4]), app = PyLong_AsLongLong(args[5]), took = PyLong_AsLongLong(args[6]);
    if (PyErr_Occurred())
        return NULL;
    const char *bounds = PyBytes_AS_STRING(args[1]);
    const Py_ssize_t word = sizeof(int64_t), size = PyBytes_GET_SIZE(args[1]) / word;
    Py_ssize_t histograms = PyByteArray_GET_SIZE(args[0]) / word - 2 * (size + 1);
    if (method < 0 || method >= (histograms - SUMS) / CLASSES) {
        PyErr_SetString(PyExc_ValueError, "count: beyond the counts");
        return NULL;
    }
    long class = status >= 200 && status < 600 ? status / 100 - 2 : status == 101 ? 0 : 3;
    char *counts = PyByteArray_AS_STRING(args[0]);
    add(counts, SENT_SUM, sent);
    add(counts, TIME_SUM, took);
    add(counts, SUMS + method * CLASSES + class, 1);
    if (app >= 0) {
        add(counts, APP_TIME_SUM, app);
        add(counts, histograms + bucket(bounds, size, app), 1);
    }
    add(counts, histograms + size + 1 + bucket(bounds, size, took), 1);
    Py_RETURN_NONE;
}

/* Sockets: worker/connection/. A socket object begins with its descriptor, -1 once it is closed, which `prepare`
makes sure of; another object is asked. */
static PyTypeObject *socket_type;
enum { AT_ONCE = 16 << 10 };

static int descriptor(PyObject *sock)
{
    if (socket_type == NULL || !PyObject_TypeCheck(sock, socket_type))
        return PyObject_AsFileDescriptor(sock);
    int fd;
    memcpy(&fd, (char *)sock + sizeof(PyObject), sizeof fd);
    return fd; /* the system says what is wrong with -1 */
}

static void find_descriptor(void)
{
    PyObject *sockets = PyImport_ImportModule("_socket");
    PyObject *type = sockets == NULL ? NULL : PyObject_GetAttrString(sockets, "SocketType");
    PyObject *sock = type == NULL ? NULL : PyObject_CallFunction(type, "ii", AF_UNIX, SOCK_STREAM);
    int fd = sock == NULL ? -1 : PyObject_AsFileDescriptor(sock);
    if (fd >= 0 && PyType_Check(type) && ((PyTypeObject *)type)->tp_basicsize >= (Py_ssize_t)(sizeof(PyObject) + sizeof fd)) {
        socket_type = (PyTypeObject *)type;
        if (descriptor(sock) != fd)
            socket_type = NULL;
    }
    PyObject *closed = sock == NULL ? NULL : PyObject_CallMethod(sock, "close", NULL);
    if (socket_type != NULL && (closed == NULL || descriptor(sock) != -1))
        socket_type = NULL;
    if (socket_type != NULL)
        Py_INCREF(type);
    PyErr_Clear(); /* as no sockets can be made here */
    Py_XDECREF(closed);
    Py_XDECREF(sock);
    Py_XDECREF(type);
    Py_XDECREF(sockets);
}

/* None if the call would have had to wait, or else its error. */
static PyObject *no_progress(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        Py_RETURN_NONE;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static const char receive_doc[] =
    "receive(sock, size)\n--\n\nWhat has arrived, at most `size` bytes; None if nothing has. Raises OSError.";

static PyObject *receive(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t most = count == 2 ? PyLong_AsSsize_t(args[1]) : -1;
    if (most < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "receive(socket, size)");
        return NULL;
    }
    int fd = descriptor(args[0]);
    if (fd < 0 && PyErr_Occurred())
        return NULL;
    ssize_t size;
    if (most <= AT_ONCE) { /* that takes no longer than to let go of the GIL, and to get it back */
        char buffer[AT_ONCE];
        do
            size = recv(fd, buffer, most, MSG_DONTWAIT);
        while (size < 0 && errno == EINTR);
        return size < 0 ? no_progress() : PyBytes_FromStringAndSize(buffer, size);
    }
    PyObject *data = PyBytes_FromStringAndSize(NULL, most);
    if (data == NULL)
        return NULL;
    do {
        Py_BEGIN_ALLOW_THREADS
        size = recv(fd, PyBytes_AS_STRING(data), most, MSG_DONTWAIT);
        Py_END_ALLOW_THREADS
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        Py_DECREF(data);
        return no_progress();
    }
    _PyBytes_Resize(&data, size);
    return data;
}

static const char send_doc[] =
    "send(sock, data)\n--\n\nHow many bytes of it the system has taken; None if it takes none now. Raises OSError.";

static PyObject *send_now(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyBytes_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "send(socket, bytes)");
        return NULL;
    }
    int fd = descriptor(args[0]);
    if (fd < 0 && PyErr_Occurred())
        return NULL;
    ssize_t size;
    do { /* who waits for the GIL gets it here: once for each answer is often enough */
        Py_BEGIN_ALLOW_THREADS
        size = send(fd, PyBytes_AS_STRING(args[1]), PyBytes_GET_SIZE(args[1]), MSG_DONTWAIT | MSG_NOSIGNAL);
        Py_END_ALLOW_THREADS
    } while (size < 0 && errno == EINTR);
    return size < 0 ? no_progress() : PyLong_FromSsize_t(size);
}

/* A lock, as _thread.lock without timeouts, whose methods parse no arguments: that takes five times as long as what
they do. Its holder may pass it to another thread. Who has the GIL has `held`: nothing of the system is asked unless
somebody waits, for `wake`, which is held but while it is `posted`. One is woken at a time; if another had come first,
who let go of the GIL while it held the lock, it is `starved`: the next one to release gives it the lock. */
typedef struct {
    PyObject_HEAD
    PyThread_type_lock wake;
    Py_ssize_t waiting;
    char held, posted, starved, given;
} Mutex;

static PyObject *mutex_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(named))
{
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return make(type, 0);
}

static void mutex_dealloc(Mutex *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->wake != NULL) {
        if (!self->posted)
            PyThread_release_lock(self->wake);
        PyThread_free_lock(self->wake);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static int mutex_wait(Mutex *self)
{
    if (self->wake == NULL) {
        self->wake = PyThread_allocate_lock();
        if (self->wake == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        PyThread_acquire_lock(self->wake, WAIT_LOCK);
    }
    self->waiting++;
    Py_BEGIN_ALLOW_THREADS
    PyThread_acquire_lock(self->wake, WAIT_LOCK);
    Py_END_ALLOW_THREADS
    self->waiting--;
    self->posted = 0;
    return 0;
}

static PyObject *mutex_acquire(Mutex *self, PyObject *const *args, Py_ssize_t count)
{
    if (count > 1 || (count == 1 && !PyBool_Check(args[0]))) {
        PyErr_SetString(PyExc_TypeError, "acquire(blocking=True)");
        return NULL;
    }
    while (self->held) {
        if (count == 1 && args[0] == Py_False)
            Py_RETURN_FALSE;
        if (mutex_wait(self) != 0)
            return NULL;
        if (self->given) {
            self->given = 0;
            Py_RETURN_TRUE;
        }
        self->starved = self->held;
    }
    self->held = 1;
    Py_RETURN_TRUE;
}

static PyObject *mutex_release(Mutex *self, PyObject *Py_UNUSED(none))
{
    if (!self->held) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return NULL;
    }
    int wakes = self->waiting > 0 && !self->posted;
    self->given = wakes && self->starved;
    self->held = self->given;
    if (wakes) {
        self->starved = 0;
        self->posted = 1;
        PyThread_release_lock(self->wake);
    }
    Py_RETURN_NONE;
}

static PyObject *mutex_enter(Mutex *self, PyObject *Py_UNUSED(none))
{
    return mutex_acquire(self, NULL, 0);
}

static PyObject *mutex_exit(Mutex *self, PyObject *const *Py_UNUSED(raised), Py_ssize_t Py_UNUSED(count))
{
    return mutex_release(self, NULL);
}

static PyObject *mutex_locked(Mutex *self, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(self->held);
}

#define FAST(function) (PyCFunction)(void (*)(void))(function)

static PyMethodDef mutex_methods[] = {
    {"acquire", FAST(mutex_acquire), METH_FASTCALL, "acquire(blocking=True)\n--\n\nWhether the caller has it now."},
    {"release", FAST(mutex_release), METH_NOARGS, "release()\n--\n\nBy any thread. Raises RuntimeError if nobody has it."},
    {"locked", FAST(mutex_locked), METH_NOARGS, "locked()\n--\n\nWhether anybody has it."},
    {"__enter__", FAST(mutex_enter), METH_NOARGS, NULL},
    {"__exit__", FAST(mutex_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot mutex_slots[] = {
    {Py_tp_new, mutex_new},
    {Py_tp_dealloc, mutex_dealloc},
    {Py_tp_methods, mutex_methods},
    {Py_tp_doc, "A lock without timeouts."},
    {0, NULL},
};

static PyType_Spec mutex_spec = {
    .name = "superwsgi.core._core.Mutex",
    .basicsize = sizeof(Mutex),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = mutex_slots,
};

static PyMethodDef functions[] = {
    {"read_plain", FAST(read_plain), METH_FASTCALL, read_plain_doc},
    {"show_request", FAST(show_request), METH_FASTCALL, show_request_doc},
    {"count", FAST(count_answer), METH_FASTCALL, count_doc},
    {"receive", FAST(receive), METH_FASTCALL, receive_doc},
    {"send", FAST(send_now), METH_FASTCALL, send_doc},
    {NULL, NULL, 0, NULL},
};

static int prepare(PyObject *module)
{
    for (size_t each = 0; each < sizeof spelled / sizeof *spelled; each++)
        if (*spelled[each].word == NULL && (*spelled[each].word = PyUnicode_InternFromString(spelled[each].text)) == NULL)
            return -1;
    for (int each = 0; each < METHODS; each++)
        if (methods[each] == NULL && (methods[each] = PyUnicode_InternFromString(method_names[each])) == NULL)
            return -1;
    if (socket_type == NULL)
        find_descriptor();
    PyObject *mutex = PyType_FromSpec(&mutex_spec);
    int failed = mutex == NULL ? -1 : PyModule_AddObjectRef(module, "Mutex", mutex);
    Py_XDECREF(mutex);
    return failed;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, prepare},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "superwsgi.core._core",
    .m_doc = "The plain case of what is done for each request.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&module);
}
