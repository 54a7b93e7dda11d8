/*
** Stands in for lundump.c and ldump.c: compiled chunks are neither read nor written. The verifier that would make foreign byte code
** safe does not exist, and source text is all a process needs.
*/
#define LUA_CORE
#include <lprefix.h>

#include <lua.h>

#include <lobject.h>
#include <ldo.h>
#include <lstate.h>
#include <lundump.h>

LClosure *luaU_undump(lua_State *L, ZIO *Z, const char *name) {
  (void)Z;
  luaO_pushfstring(L, "%s: compiled chunks are not accepted", *name == '@' || *name == '=' ? name + 1 : name);
  luaD_throw(L, LUA_ERRSYNTAX);
  return NULL;
}

int luaU_dump(lua_State *L, const Proto *f, lua_Writer w, void *data, int strip) {
  (void)L, (void)f, (void)w, (void)data, (void)strip;
  return 1; /* string.dump: "unable to dump given function" */
}
