/* Values between host and guest; codec.h describes the form. */
#include "codec.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static uint32_t read_u32(const uint8_t **at, const uint8_t *end) {
  uint32_t value;
  if (end - *at < 4) __builtin_trap();
  memcpy(&value, *at, 4);
  *at += 4;
  return value;
}

static void push_bytes(lua_State *L, const uint8_t **at, const uint8_t *end) {
  uint32_t length = read_u32(at, end);
  if ((uint32_t)(end - *at) < length) __builtin_trap();
  lua_pushlstring(L, (const char *)*at, length);
  *at += length;
}

static void read_entries(lua_State *L, const uint8_t **at, const uint8_t *end, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    push_bytes(L, at, end);
    ao_decode(L, at, end);
    lua_rawset(L, -3);
  }
}

void ao_decode_map(lua_State *L, const uint8_t **at, const uint8_t *end, uint32_t more) {
  if (*at >= end || *(*at)++ != AO_MAP) __builtin_trap();
  uint32_t count = read_u32(at, end);
  lua_createtable(L, 0, (int)(count + more));
  read_entries(L, at, end, count);
}

void ao_decode(lua_State *L, const uint8_t **at, const uint8_t *end) {
  if (*at >= end) __builtin_trap();
  luaL_checkstack(L, 4, "value nests too deep");
  switch (*(*at)++) {
    case AO_NIL: lua_pushnil(L); break;
    case AO_FALSE: lua_pushboolean(L, 0); break;
    case AO_TRUE: lua_pushboolean(L, 1); break;
    case AO_INTEGER: {
      int64_t value;
      if (end - *at < 8) __builtin_trap();
      memcpy(&value, *at, 8);
      *at += 8;
      lua_pushinteger(L, value);
      break;
    }
    case AO_FLOAT: {
      double value;
      if (end - *at < 8) __builtin_trap();
      memcpy(&value, *at, 8);
      *at += 8;
      lua_pushnumber(L, value);
      break;
    }
    case AO_STRING: push_bytes(L, at, end); break;
    case AO_ARRAY: {
      uint32_t count = read_u32(at, end);
      lua_createtable(L, (int)count, 0);
      for (uint32_t i = 1; i <= count; i++) {
        ao_decode(L, at, end);
        lua_rawseti(L, -2, i);
      }
      break;
    }
    case AO_MAP: {
      uint32_t count = read_u32(at, end);
      lua_createtable(L, 0, (int)count);
      read_entries(L, at, end, count);
      break;
    }
    default: __builtin_trap();
  }
}

static void put_kind(lua_State *L, struct ao_buffer *out, enum ao_kind kind) { *ao_reserve(L, out, 1) = (uint8_t)kind; }

static void put_u32(lua_State *L, struct ao_buffer *out, uint32_t value) { memcpy(ao_reserve(L, out, 4), &value, 4); }

static void put_bytes(lua_State *L, struct ao_buffer *out, const char *data, size_t length) {
  if (length > AO_RESULT_MAX) luaL_error(L, "result is larger than %d bytes", (int)AO_RESULT_MAX);
  put_u32(L, out, (uint32_t)length);
  memcpy(ao_reserve(L, out, (uint32_t)length), data, length);
}

/* One key of a table: its text, and the key itself where it is a number. */
struct key {
  const char *text; /* of a string key: the table keeps it alive. NULL for a number, whose text is `own` and moves with the struct */
  size_t length;
  lua_Integer integer;
  lua_Number number;
  uint8_t type; /* AO_STRING, AO_INTEGER or AO_FLOAT */
  char own[40];
};

#define KEYS_ON_STACK 16

static const char *key_text(const struct key *key) { return key->text ? key->text : key->own; }

static int key_order(const void *a, const void *b) {
  const struct key *x = a, *y = b;
  size_t shorter = x->length < y->length ? x->length : y->length;
  int order = memcmp(key_text(x), key_text(y), shorter);
  if (order) return order;
  if (x->length != y->length) return x->length < y->length ? -1 : 1;
  return (int)x->type - (int)y->type; /* 1 and "1" in one table: both go out, the string first */
}

/* Reads the key at the top of the stack without changing it. */
static void read_key(lua_State *L, struct key *key) {
  if (lua_type(L, -1) == LUA_TSTRING) {
    key->type = AO_STRING;
    key->text = lua_tolstring(L, -1, &key->length);
    return;
  }
  key->text = NULL;
  key->type = lua_isinteger(L, -1) ? AO_INTEGER : AO_FLOAT;
  key->integer = lua_tointeger(L, -1);
  key->number = lua_tonumber(L, -1);
  lua_pushvalue(L, -1);
  const char *text = lua_tolstring(L, -1, &key->length);
  if (key->length >= sizeof key->own) key->length = sizeof key->own - 1;
  memcpy(key->own, text, key->length);
  lua_pop(L, 1);
}

static void push_key(lua_State *L, const struct key *key) {
  switch (key->type) {
    case AO_STRING: lua_pushlstring(L, key->text, key->length); break;
    case AO_INTEGER: lua_pushinteger(L, key->integer); break;
    default: lua_pushnumber(L, key->number);
  }
}

/* Functions and other things that have no form outside the guest are left out. */
static int goes_out(lua_State *L, int value, int key) {
  int type = lua_type(L, value), key_type = lua_type(L, key);
  if (key_type != LUA_TSTRING && key_type != LUA_TNUMBER) return 0;
  return type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TBOOLEAN || type == LUA_TTABLE;
}

static void encode_value(lua_State *L, int index, struct ao_buffer *out, int depth);

static uint32_t count_entries(lua_State *L, int table) {
  uint32_t count = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) count++;
  return count;
}

/* Keys are few as a rule: sorting by insertion needs no calls through pointers. */
static void sort_few(struct key *keys, uint8_t *order, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    uint32_t at = i;
    for (; at > 0 && key_order(&keys[i], &keys[order[at - 1]]) < 0; at--) order[at] = order[at - 1];
    order[at] = (uint8_t)i;
  }
}

static void encode_entry(lua_State *L, int table, struct ao_buffer *out, int depth, const struct key *key) {
  put_bytes(L, out, key_text(key), key->length);
  push_key(L, key);
  lua_rawget(L, table);
  encode_value(L, lua_gettop(L), out, depth + 1);
  lua_pop(L, 1);
}

/* In byte order of the keys: the bytes of a result do not depend on how its tables were filled. */
static void encode_map(lua_State *L, int table, struct ao_buffer *out, int depth) {
  struct key few[KEYS_ON_STACK], *keys = few;
  uint32_t count = 0, room = KEYS_ON_STACK;
  int top = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, table)) {
    int wanted = goes_out(L, -1, -2);
    lua_pop(L, 1);
    if (!wanted) continue;
    if (count == room) { /* more than expected: start again with room for all */
      lua_settop(L, top);
      room = count_entries(L, table);
      if (room > AO_RESULT_MAX / 5) luaL_error(L, "result is larger than %d bytes", (int)AO_RESULT_MAX);
      keys = lua_newuserdata(L, room * sizeof(struct key)); /* collected even when an error is raised below */
      count = 0;
      lua_pushnil(L);
      continue;
    }
    read_key(L, &keys[count++]);
  }
  put_kind(L, out, AO_MAP);
  put_u32(L, out, count);
  if (keys == few) {
    uint8_t order[KEYS_ON_STACK];
    sort_few(keys, order, count);
    for (uint32_t i = 0; i < count; i++) encode_entry(L, table, out, depth, &keys[order[i]]);
  } else {
    qsort(keys, count, sizeof(struct key), key_order);
    for (uint32_t i = 0; i < count; i++) encode_entry(L, table, out, depth, &keys[i]);
  }
  lua_settop(L, top);
}

static void encode_array(lua_State *L, int table, struct ao_buffer *out, int depth, uint32_t count) {
  put_kind(L, out, AO_ARRAY);
  put_u32(L, out, count);
  for (uint32_t i = 1; i <= count; i++) {
    lua_rawgeti(L, table, i);
    encode_value(L, lua_gettop(L), out, depth + 1);
    lua_pop(L, 1);
  }
}

/* Whether the keys are 1..length and nothing else that goes out. */
static int is_sequence(lua_State *L, int table, lua_Unsigned length) {
  lua_Unsigned found = 0;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_Integer i = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
    if (i >= 1 && (lua_Unsigned)i <= length) {
      found++;
    } else if (goes_out(L, -1, -2)) {
      lua_pop(L, 2);
      return 0;
    }
    lua_pop(L, 1);
  }
  return found == length;
}

/* The table {name = text, value = text}, of which results have many: the same bytes as encode_map writes, with one look at each entry.
   Returns 0, having done nothing, where it is anything else. */
static int encode_tag(lua_State *L, int table, struct ao_buffer *out) {
  const char *texts[2] = {0, 0};
  size_t lengths[2], length;
  int top = lua_gettop(L), entries = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    if (++entries > 2 || lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) break;
    const char *key = lua_tolstring(L, -2, &length);
    int which = length == 5;
    if (length != 4 + (size_t)which || memcmp(key, which ? "value" : "name", length) != 0) break;
    texts[which] = lua_tolstring(L, -1, &lengths[which]); /* the table keeps it alive */
  }
  int is_tag = lua_gettop(L) == top && texts[0] && texts[1];
  lua_settop(L, top);
  if (!is_tag) return 0;
  put_kind(L, out, AO_MAP);
  put_u32(L, out, 2);
  for (int i = 0; i < 2; i++) {
    put_bytes(L, out, i ? "value" : "name", (size_t)(4 + i));
    put_kind(L, out, AO_STRING);
    put_bytes(L, out, texts[i], lengths[i]);
  }
  return 1;
}

/* A table whose keys are 1..n is an array, as is one of which nothing goes out; every other table is a map. */
static void encode_table(lua_State *L, int table, struct ao_buffer *out, int depth) {
  if (depth > AO_DEPTH_MAX) luaL_error(L, "result nests deeper than %d tables", AO_DEPTH_MAX);
  luaL_checkstack(L, 6, "result nests too deep");
  lua_Unsigned length = lua_rawlen(L, table);
  if (length == 0 && encode_tag(L, table, out)) return;
  if (is_sequence(L, table, length)) encode_array(L, table, out, depth, (uint32_t)length);
  else encode_map(L, table, out, depth);
}

static void encode_value(lua_State *L, int index, struct ao_buffer *out, int depth) {
  switch (lua_type(L, index)) {
    case LUA_TBOOLEAN: put_kind(L, out, lua_toboolean(L, index) ? AO_TRUE : AO_FALSE); break;
    case LUA_TNUMBER:
      if (lua_isinteger(L, index)) {
        lua_Integer value = lua_tointeger(L, index);
        put_kind(L, out, AO_INTEGER);
        memcpy(ao_reserve(L, out, 8), &value, 8);
      } else {
        lua_Number value = lua_tonumber(L, index);
        put_kind(L, out, AO_FLOAT);
        memcpy(ao_reserve(L, out, 8), &value, 8);
      }
      break;
    case LUA_TSTRING: {
      size_t length;
      const char *data = lua_tolstring(L, index, &length);
      put_kind(L, out, AO_STRING);
      put_bytes(L, out, data, length);
      break;
    }
    case LUA_TTABLE: encode_table(L, index, out, depth); break;
    default: put_kind(L, out, AO_NIL);
  }
}

void ao_encode(lua_State *L, int index, struct ao_buffer *out) { encode_value(L, lua_absindex(L, index), out, 0); }
