/*
** The everyday part of `.bint`: sums, comparisons and decimal text of values that are far inside their width.
**
** A value is a table {negative, mag} whose metatable is its class; mag holds limbs of nine decimal digits, lowest first, without leading
** zeros (runtime/lib/bint.lua, which owns the rules and does everything else). These functions return nothing where an operand is not of
** that form or a result might have to wrap around: then the library does it in its own way, with the same outcome.
*/
#include <lauxlib.h>
#include <string.h>

#include "native.h"

#define BASE 1000000000
#define DIGITS 9
#define LIMBS_MAX 20 /* 180 digits: more than the usual 256 bits, and than any 512 */

struct big {
  int negative, count;
  lua_Integer limbs[LIMBS_MAX + 1];
};

static int read_integer(lua_Integer value, struct big *out) {
  if (value == LUA_MININTEGER) return 0;
  out->negative = value < 0;
  out->count = 0;
  for (lua_Integer rest = value < 0 ? -value : value; rest > 0; rest /= BASE) out->limbs[out->count++] = rest % BASE;
  return 1;
}

static int read_big(lua_State *L, int index, int class, struct big *out) {
  if (lua_isinteger(L, index)) return read_integer(lua_tointeger(L, index), out);
  if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) return 0;
  int ours = lua_rawequal(L, -1, class);
  lua_pop(L, 1);
  if (!ours) return 0;
  lua_getfield(L, index, "negative");
  out->negative = lua_toboolean(L, -1);
  size_t count = lua_getfield(L, index, "mag") == LUA_TTABLE ? lua_rawlen(L, -1) : LIMBS_MAX + 1;
  int sound = count <= LIMBS_MAX;
  out->count = (int)count;
  for (int i = 0; sound && i < out->count; i++) {
    sound = lua_rawgeti(L, -1, i + 1) == LUA_TNUMBER && lua_isinteger(L, -1);
    out->limbs[i] = lua_tointeger(L, -1);
    sound = sound && out->limbs[i] >= 0 && out->limbs[i] < BASE;
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
  return sound && (count == 0 || out->limbs[count - 1] != 0);
}

static int push_big(lua_State *L, const struct big *value, int class) {
  lua_createtable(L, 0, 2);
  lua_pushboolean(L, value->negative && value->count > 0);
  lua_setfield(L, -2, "negative");
  lua_createtable(L, value->count, 0);
  for (int i = 0; i < value->count; i++) {
    lua_pushinteger(L, value->limbs[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "mag");
  lua_pushvalue(L, class);
  lua_setmetatable(L, -2);
  return 1;
}

static int order_of(const struct big *a, const struct big *b) {
  if (a->count != b->count) return a->count < b->count ? -1 : 1;
  for (int i = a->count; i-- > 0;)
    if (a->limbs[i] != b->limbs[i]) return a->limbs[i] < b->limbs[i] ? -1 : 1;
  return 0;
}

static void add(const struct big *a, const struct big *b, struct big *sum) {
  lua_Integer carry = 0;
  int count = a->count > b->count ? a->count : b->count;
  for (int i = 0; i < count; i++) {
    lua_Integer limb = (i < a->count ? a->limbs[i] : 0) + (i < b->count ? b->limbs[i] : 0) + carry;
    carry = limb >= BASE;
    sum->limbs[i] = limb - carry * BASE;
  }
  if (carry) sum->limbs[count++] = carry;
  sum->count = count;
}

/* a - b where a >= b */
static void take(const struct big *a, const struct big *b, struct big *rest) {
  lua_Integer borrow = 0;
  rest->count = 0;
  for (int i = 0; i < a->count; i++) {
    lua_Integer limb = a->limbs[i] - (i < b->count ? b->limbs[i] : 0) - borrow;
    borrow = limb < 0;
    rest->limbs[i] = limb + borrow * BASE;
    if (rest->limbs[i]) rest->count = i + 1;
  }
}

/* big_sum(a, b, class, room, minus) -> a + b, or a - b where minus; of at most `room` limbs */
int native_big_sum(lua_State *L) {
  struct big a, b, sum;
  if (!read_big(L, 1, 3, &a) || !read_big(L, 2, 3, &b)) return 0;
  if (lua_toboolean(L, 5)) b.negative = !b.negative;
  if (a.negative == b.negative) {
    add(&a, &b, &sum);
    sum.negative = a.negative;
  } else if (order_of(&a, &b) >= 0) {
    take(&a, &b, &sum);
    sum.negative = a.negative;
  } else {
    take(&b, &a, &sum);
    sum.negative = b.negative;
  }
  return sum.count <= lua_tointeger(L, 4) ? push_big(L, &sum, 3) : 0;
}

/* big_compare(a, b, class) -> -1, 0 or 1 */
int native_big_compare(lua_State *L) {
  struct big a, b;
  if (!read_big(L, 1, 3, &a) || !read_big(L, 2, 3, &b)) return 0;
  int order = order_of(&a, &b);
  if (a.negative != b.negative) order = a.negative ? -1 : 1;
  else if (a.negative) order = -order;
  lua_pushinteger(L, order);
  return 1;
}

/* big_parse(text, class, room) -> the value of a text that is decimal digits and nothing else, of at most `room` limbs */
int native_big_parse(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  size_t first = 0;
  if (length == 0) return 0;
  for (size_t i = 0; i < length; i++)
    if (text[i] < '0' || text[i] > '9') return 0;
  while (first < length && text[first] == '0') first++;
  lua_Integer room = lua_tointeger(L, 3);
  if (length > LIMBS_MAX * DIGITS || (lua_Integer)((length - first + DIGITS - 1) / DIGITS) > room) return 0;
  struct big value = {0, 0, {0}};
  for (size_t end = length; end > first; end -= end - first < DIGITS ? end - first : DIGITS) {
    lua_Integer limb = 0;
    for (size_t at = end - first < DIGITS ? first : end - DIGITS; at < end; at++) limb = limb * 10 + (text[at] - '0');
    value.limbs[value.count++] = limb;
  }
  return push_big(L, &value, 2);
}
