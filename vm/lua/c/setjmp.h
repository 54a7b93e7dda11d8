/* Lua includes this header but needs nothing of it: errors go through `try` and `throw` (config.h). */
