/*
** What the host calls, and the little of the host that the runtime library sees.
**
**   ao_init()              creates the Lua state and loads the runtime library
**   ao_input(n) -> p       where to put n bytes of input for the next call
**   ao_boot(n) -> r        value {Environment, Source, Name, Format}: the environment is kept, the module's source runs
**   ao_handle(n) -> r      u64 LE seed, then the message value
**   ao_call(f, L, ud)      the host's `try` comes back in through this
**
** r points to u32 LE length, u8 status (0 a value follows, 1 the text of a Lua error follows as a value), then the value. It is valid
** until the next call. Everything that lives longer than a call is in linear memory; the only global of the instance is the stack pointer.
*/
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "native.h"

static lua_State *state;
static int dispatcher; /* registry reference of the table that runtime/boot.lua returns */

/* Most messages and results fit these; only larger ones touch the heap. */
#define FIRST_BUFFER 8192
static uint8_t first_input[FIRST_BUFFER], first_output[FIRST_BUFFER];
static uint8_t *input = first_input;
static struct ao_buffer output;

EXPORT("ao_call") void ao_call(void (*f)(lua_State *, void *), lua_State *L, void *ud) { f(L, ud); }

EXPORT("ao_input") uint8_t *ao_input(uint32_t length) {
  if (input != first_input) free(input);
  input = length <= FIRST_BUFFER ? first_input : malloc(length);
  return input; /* NULL: no memory; the host reports it */
}

static void begin_output(void) {
  if (output.data != first_output) free(output.data);
  output.data = first_output;
  output.size = FIRST_BUFFER;
  output.used = 5;
}

/* The first buffer cannot be handed to realloc: larger outputs move to the heap once. */
static void spill_output(lua_State *L) {
  uint8_t *data = malloc(FIRST_BUFFER * 4);
  if (!data) luaL_error(L, "not enough memory for the result");
  memcpy(data, output.data, output.used);
  output.data = data;
  output.size = FIRST_BUFFER * 4;
}

uint8_t *ao_reserve(lua_State *L, struct ao_buffer *out, uint32_t more) {
  if (more > AO_RESULT_MAX || out->used + more > AO_RESULT_MAX) luaL_error(L, "result is larger than %d bytes", (int)AO_RESULT_MAX);
  if (out->used + more > out->size) {
    if (out->data == first_output) spill_output(L);
    uint32_t size = out->size;
    while (size < out->used + more) size *= 2;
    uint8_t *data = realloc(out->data, size);
    if (!data) luaL_error(L, "not enough memory for the result");
    out->data = data;
    out->size = size;
  }
  uint8_t *at = out->data + out->used;
  out->used += more;
  return at;
}

static uint8_t *end_output(uint8_t status) {
  memcpy(output.data, &output.used, 4);
  output.data[4] = status;
  return output.data;
}

static uint8_t *failed(lua_State *L) {
  size_t length;
  const char *text = lua_tolstring(L, -1, &length);
  if (!text) text = "(error object is not a string)", length = strlen(text);
  if (length > FIRST_BUFFER - 16) length = FIRST_BUFFER - 16;
  begin_output();
  uint32_t short_length = (uint32_t)length;
  output.data[output.used++] = AO_STRING;
  memcpy(output.data + output.used, &short_length, 4);
  memcpy(output.data + output.used + 4, text, length);
  output.used += 4 + short_length;
  lua_settop(L, 0);
  return end_output(1);
}

/* What `ao.normalize` adds to a message: tags as fields, Tags, TagArray, reply, forward. More only cost one more growth of its table. */
#define FIELDS_ADDED 16

struct call {
  const char *method;
  uint32_t length;
};

static int protected_call(lua_State *L) {
  const struct call *call = lua_touserdata(L, 1);
  const uint8_t *at = input, *end = input + call->length;
  lua_rawgeti(L, LUA_REGISTRYINDEX, dispatcher);
  lua_getfield(L, -1, call->method);
  ao_decode_map(L, &at, end, FIELDS_ADDED);
  lua_call(L, 1, 1);
  begin_output();
  ao_encode(L, -1, &output);
  return 0;
}

static uint8_t *run(const char *method, uint32_t offset, uint32_t length) {
  struct call call = {method, length};
  uint8_t *whole = input;
  input = whole + offset;
  lua_settop(state, 0);
  lua_pushcfunction(state, protected_call);
  lua_pushlightuserdata(state, &call);
  int status = lua_pcall(state, 1, 0, 0);
  input = whole;
  return status == LUA_OK ? end_output(0) : failed(state);
}

EXPORT("ao_boot") uint8_t *ao_boot(uint32_t length) { return run("boot", 0, length); }

EXPORT("ao_handle") uint8_t *ao_handle(uint32_t length) {
  uint64_t seed;
  if (length < 8) __builtin_trap();
  memcpy(&seed, input, 8);
  ao_random_seed(seed);
  return run("handle", 8, length - 8);
}

static int protected_init(lua_State *L) {
  ao_open_libraries(L);
  ao_push_native(L);
  ao_load_bundled(L, "boot");
  lua_insert(L, -2);
  lua_call(L, 1, 1);
  dispatcher = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

EXPORT("ao_init") uint8_t *ao_init(void) {
  begin_output();
  state = luaL_newstate();
  if (!state) __builtin_trap();
  lua_pushcfunction(state, protected_init);
  if (lua_pcall(state, 0, 0, 0) != LUA_OK) return failed(state);
  lua_gc(state, LUA_GCCOLLECT, 0);
  *ao_reserve(state, &output, 1) = AO_NIL;
  return end_output(0);
}
