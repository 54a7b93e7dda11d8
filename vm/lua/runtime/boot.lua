-- Entry of the runtime library: loads its files in dependency order and returns what the host calls, `boot` and `handle`.
--
-- `rt` is the library's own table. Each file receives it, adds to it, and sets the globals that programs see. A program may replace
-- any global (that is how aos is used); the library reads back only those that aos documents as settings: Owner, Name, Inbox, Prompt,
-- Handlers.list, ao.authorities.
local native = ...
local rt = { native = native }

for _, name in ipairs { "package", "text", "output", "clock", "ao", "handlers", "inbox", "eval", "process", "compute" } do
  native.load(name)(rt)
end

return { boot = rt.boot, handle = function(message) return rt.handle(message) end }
