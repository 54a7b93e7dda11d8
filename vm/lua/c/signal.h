/* There are no signals; Lua only names the type. */
typedef int sig_atomic_t;
