/*
** Settings under which the Lua 5.3 sources are compiled into the guest; included before every translation unit.
**
** The guest has no files, no clock, no entropy and no exceptions of its own: whatever the sources would take from a host is fixed here.
*/
#ifndef AO_LUA_CONFIG_H
#define AO_LUA_CONFIG_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define IMPORT(name) __attribute__((import_module("ao"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name), used))

/* Lua raises errors in one place only. `try` runs f(L, ud) and comes back when it returns or when `throw` is called inside it. */
struct lua_State;
IMPORT("try") void ao_try(void (*f)(struct lua_State *, void *), struct lua_State *L, void *ud);
IMPORT("throw") _Noreturn void ao_throw(void);
#define LUAI_TRY(L, c, a) ao_try(f, L, ud)
#define LUAI_THROW(L, c) ao_throw()
#define luai_jmpbuf int

/* Seeds are constants: the order of `pairs` is a function of the log. The sort's pivot needs no protection from
   adversaries beyond the fuel limit that everything here runs under. */
#define luai_makeseed() 0x616f6e64u
#define l_randomizePivot() 0x9e3779b9u

/* math.random: a generator whose state is seeded by the host from process and message (glue.c). */
uint32_t ao_random_31(void);
void ao_random_seed(uint64_t seed);
#define l_rand() ao_random_31()
#define l_srand(x) ao_random_seed(x)
#define L_RANDMAX 0x7fffffff

#define lua_getlocaledecpoint() '.'

/* Output of the C library goes nowhere; the runtime library supplies its own `print`. */
#define lua_writestring(s, l) ((void)(s), (void)(l))
#define lua_writeline() ((void)0)
#define lua_writestringerror(s, p) ((void)(s), (void)(p))

/* Lua reads errno only to explain why a file did not open. Thread-local storage, which the C library's errno asks for, is not had. */
#undef errno
#define errno 0

/* `loadfile` and `dofile` are compiled but find no files (and the runtime removes them). */
#undef stdin
#undef getc
#undef feof
#undef ferror
#define stdin ((FILE *)0)
#define fopen(name, mode) ((FILE *)0)
#define freopen(name, mode, file) ((FILE *)0)
#define fclose(file) ((void)(file), 0)
#define getc(file) ((void)(file), EOF)
#define fread(buffer, size, count, file) ((void)(file), (size_t)0)
#define feof(file) ((void)(file), 1)
#define ferror(file) ((void)(file), 0)

/* 200 nested C calls, each with such a buffer, must fit the C stack (STACK_BYTES in build.rs). */
#include <luaconf.h>
#undef LUAL_BUFFERSIZE
#define LUAL_BUFFERSIZE 1024

/* Integers become text all the time (references, slots, balances); the C library's formatted output takes thirty times as long. */
int ao_integer_text(char *out, long long value);
#undef lua_integer2str
#define lua_integer2str(s, sz, n) ao_integer_text((s), (n))

#endif
