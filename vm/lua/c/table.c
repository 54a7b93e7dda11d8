/*
** ltable.c with one change: growing a table crosses to the host only where it has to.
**
** luaH_resize allocates the new hash part under luaD_rawrunprotected, because when that fails the array part, grown just before, must
** shrink again. A protected call leaves the guest and comes back, which is most of the cost of a small table. Nothing can fail where no
** hash part is asked for, and nothing has to be undone where there is no array part: there the allocation runs directly, and its error
** goes to whoever is next.
*/
#define LUA_CORE
#define ltable_c
#include <lprefix.h>

#include <lua.h>

#include <ldo.h>
#include <lobject.h>

static int resize_protected(lua_State *L, Pfunc f, void *ud);
#define luaD_rawrunprotected resize_protected
#include <ltable.c>
#undef luaD_rawrunprotected

static int resize_protected(lua_State *L, Pfunc f, void *ud) {
  const AuxsetnodeT *request = ud;
  if (request->nhsize == 0 || request->t->sizearray == 0) {
    f(L, ud);
    return LUA_OK;
  }
  return luaD_rawrunprotected(L, f, ud);
}
