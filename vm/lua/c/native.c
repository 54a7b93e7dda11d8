/* Libraries of the guest; native.h. */
#include "native.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

IMPORT("digest") uint32_t ao_digest(uint32_t kind, const void *data, uint32_t length, void *out);

static const luaL_Reg libraries[] = {{"_G", luaopen_base},           {LUA_TABLIBNAME, luaopen_table},    {LUA_STRLIBNAME, luaopen_string},
                                     {LUA_MATHLIBNAME, luaopen_math}, {LUA_COLIBNAME, luaopen_coroutine}, {LUA_UTF8LIBNAME, luaopen_utf8},
                                     {LUA_BITLIBNAME, luaopen_bit32}, {NULL, NULL}};

void ao_open_libraries(lua_State *L) {
  for (const luaL_Reg *library = libraries; library->func; library++) {
    luaL_requiref(L, library->name, library->func, 1);
    lua_pop(L, 1);
  }
  static const char *const removed[] = {"dofile", "loadfile", NULL};
  for (const char *const *name = removed; *name; name++) {
    lua_pushnil(L);
    lua_setglobal(L, *name);
  }
}

static const struct ao_bundled *find(const char *name) {
  for (const struct ao_bundled *file = ao_bundled_files; file->name; file++)
    if (strcmp(file->name, name) == 0) return file;
  return NULL;
}

void ao_load_bundled(lua_State *L, const char *name) {
  const struct ao_bundled *file = find(name);
  if (!file) luaL_error(L, "no bundled file '%s'", name);
  lua_pushfstring(L, "=%s", name);
  if (luaL_loadbufferx(L, file->source, file->length, lua_tostring(L, -1), "t") != LUA_OK) lua_error(L);
  lua_remove(L, -2);
}

/* load(name) -> function or nil */
static int native_load(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (!find(name)) return 0;
  ao_load_bundled(L, name);
  return 1;
}

/* digest(kind, data) -> raw bytes */
static int native_digest(lua_State *L) {
  char out[64];
  size_t length;
  lua_Integer kind = luaL_checkinteger(L, 1);
  const char *data = luaL_checklstring(L, 2, &length);
  uint32_t size = ao_digest((uint32_t)kind, data, (uint32_t)length, out);
  luaL_argcheck(L, size != 0 && size <= sizeof out, 1, "unknown digest");
  lua_pushlstring(L, out, size);
  return 1;
}

/* traceback([thread,] [message [, level]]) as debug.traceback */
static int native_traceback(lua_State *L) {
  int shift = lua_isthread(L, 1);
  lua_State *of = shift ? lua_tothread(L, 1) : L;
  const char *message = lua_tostring(L, shift + 1);
  if (!message && !lua_isnoneornil(L, shift + 1)) {
    lua_pushvalue(L, shift + 1);
    return 1;
  }
  luaL_traceback(L, of, message, (int)luaL_optinteger(L, shift + 2, of == L));
  return 1;
}

/* anchor(n) -> n as 32 decimal digits */
static int native_anchor(lua_State *L) {
  char digits[32], out[32];
  int length = ao_integer_text(digits, luaL_checkinteger(L, 1));
  memset(out, '0', sizeof out);
  memcpy(out + sizeof out - length, digits, (size_t)length);
  lua_pushlstring(L, out, sizeof out);
  return 1;
}

static void push_tag(lua_State *L, int list, lua_Integer at, int name, int value) {
  lua_createtable(L, 0, 2);
  lua_pushvalue(L, name);
  lua_setfield(L, -2, "name");
  if (lua_type(L, value) == LUA_TSTRING) lua_pushvalue(L, value);
  else luaL_tolstring(L, value, NULL);
  lua_setfield(L, -2, "value");
  lua_rawseti(L, list, at);
}

#define NAMES_MAX 64

/* root_tags(list, message, fields) appends a tag for every entry of message whose key is a text that is no key of fields and whose value
   is a text, a number or a boolean, in byte order of the names. Returns false, having done nothing, where there are too many. */
static int native_root_tags(lua_State *L) {
  const char *names[NAMES_MAX];
  size_t lengths[NAMES_MAX];
  int count = 0;
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
    int type = lua_type(L, 5);
    if (lua_type(L, 4) != LUA_TSTRING || (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN)) continue;
    lua_pushvalue(L, 4);
    int is_field = lua_rawget(L, 3) != LUA_TNIL;
    lua_pop(L, 1);
    if (is_field) continue;
    if (count == NAMES_MAX) {
      lua_pushboolean(L, 0);
      return 1;
    }
    size_t length;
    const char *name = lua_tolstring(L, 4, &length);
    int at = count++;
    for (; at > 0; at--) { /* the message keeps its keys alive */
      size_t shorter = lengths[at - 1] < length ? lengths[at - 1] : length;
      int order = memcmp(names[at - 1], name, shorter);
      if (order < 0 || (order == 0 && lengths[at - 1] < length)) break;
      names[at] = names[at - 1], lengths[at] = lengths[at - 1];
    }
    names[at] = name, lengths[at] = length;
  }
  lua_Integer used = (lua_Integer)lua_rawlen(L, 1);
  for (int i = 0; i < count; i++) {
    lua_pushlstring(L, names[i], lengths[i]);
    lua_pushvalue(L, 4);
    lua_rawget(L, 2);
    push_tag(L, 1, used + i + 1, 4, 5);
    lua_settop(L, 3);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* lift_tags(message, reserved) -> name to value of message.Tags, having set every tag as a field of the message too unless its name is
   reserved. The last of equal names counts. */
static int native_lift_tags(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_getfield(L, 1, "Tags");
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_Integer count = (lua_Integer)lua_rawlen(L, 3);
  lua_createtable(L, 0, (int)count);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_settop(L, 4);
    if (lua_rawgeti(L, 3, i) != LUA_TTABLE) continue;
    lua_getfield(L, 5, "name");
    lua_getfield(L, 5, "value");
    if (lua_isnil(L, 6)) continue;
    lua_pushvalue(L, 6);
    lua_pushvalue(L, 7);
    lua_rawset(L, 4);
    lua_pushvalue(L, 6);
    if (lua_rawget(L, 2) == LUA_TNIL) {
      lua_pushvalue(L, 6);
      lua_pushvalue(L, 7);
      lua_rawset(L, 1);
    }
  }
  lua_settop(L, 4);
  return 1;
}

static const luaL_Reg native[] = {{"load", native_load}, {"anchor", native_anchor}, {"root_tags", native_root_tags}, {"lift_tags", native_lift_tags}, {"digest", native_digest}, {"big_sum", native_big_sum}, {"big_compare", native_big_compare}, {"big_parse", native_big_parse}, {"traceback", native_traceback}, {NULL, NULL}};

void ao_push_native(lua_State *L) { luaL_newlib(L, native); }

int ao_integer_text(char *out, long long value) {
  char digits[20];
  int count = 0, length = 0;
  unsigned long long rest = value < 0 ? 0ull - (unsigned long long)value : (unsigned long long)value;
  do digits[count++] = (char)('0' + rest % 10);
  while (rest /= 10);
  if (value < 0) out[length++] = '-';
  while (count) out[length++] = digits[--count];
  out[length] = 0;
  return length;
}

/* The generator behind math.random: splitmix64. Its state is part of linear memory, hence of the process's state. */
static uint64_t random_state;

void ao_random_seed(uint64_t seed) { random_state = seed; }

uint32_t ao_random_31(void) {
  uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (uint32_t)((z ^ (z >> 31)) >> 33);
}
