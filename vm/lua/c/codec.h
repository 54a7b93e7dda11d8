/*
** The binary form in which values cross between host and guest (both directions; the host's half is src/lua/wire.rs).
**
** One byte of kind, then: nothing for nil, false, true; 8 bytes LE for an integer or a float; u32 LE length and bytes for a string;
** u32 LE count and values for an array; u32 LE count and (key string without its kind byte, value) for a map.
*/
#ifndef AO_CODEC_H
#define AO_CODEC_H

#include <lua.h>

enum ao_kind { AO_NIL, AO_FALSE, AO_TRUE, AO_INTEGER, AO_FLOAT, AO_STRING, AO_ARRAY, AO_MAP };

/* Result values nest at most this deep; also ends cyclic tables. The host checks the same bound (limits.rs, RESULT_DEPTH_MAX). */
#define AO_DEPTH_MAX 32
/* A result is at most this long (limits.rs, RESULT_BYTES_MAX). */
#define AO_RESULT_MAX (16u << 20)

/* A growing output. */
struct ao_buffer {
  uint8_t *data;
  uint32_t used, size;
};

/* Pushes the value that starts at *at and moves *at behind it. Input comes from our own host: malformed bytes trap. */
void ao_decode(lua_State *L, const uint8_t **at, const uint8_t *end);

/* The same for a map, into a table with room for `more` entries. */
void ao_decode_map(lua_State *L, const uint8_t **at, const uint8_t *end, uint32_t more);

/* Appends the value at stack index `index`. Metamethods are not consulted. Raises a Lua error at the bounds above. */
void ao_encode(lua_State *L, int index, struct ao_buffer *out);

/* Makes room for `more` bytes and returns where to put them. */
uint8_t *ao_reserve(lua_State *L, struct ao_buffer *out, uint32_t more);

#endif
