-- require and package: bundled modules by name, whatever a program put into package.loaded or package.preload, and its own searchers.
local rt = ...
local native = rt.native

package = { loaded = { _G = _G, string = string, table = table, math = math, coroutine = coroutine, utf8 = utf8, bit32 = bit32 }, preload = {}, path = "", cpath = "", config = "/\n;\n?\n!\n-\n" }

-- aos writes its own modules with a leading dot; both spellings name the same module here.
local alias = { ["crypto.init"] = "crypto", ["crypto.digest.init"] = "crypto.digest", ["handlers_utils"] = "handlers-utils", ["pretty"] = "stringify", ["dump"] = "stringify" }

local function canonical(name)
  name = name:gsub("^%.", "")
  return alias[name] or name
end

-- Modules that the library itself holds (`ao`, `handlers`, ...); filled by the other files through rt.provide.
local provided = {}

function rt.provide(name, value)
  provided[name] = value
end

-- Loads the bundled file lib/<name>; it runs once and receives the library's table.
local function bundled(name)
  local value = provided[name]
  if value ~= nil then
    return function() return value end
  end
  local chunk = native.load("lib/" .. name)
  if chunk then
    return function() return chunk(rt) end
  end
  return "\n\tno bundled module '" .. name .. "'"
end

package.searchers = {
  function(name)
    local preload = package.preload[name]
    return preload or ("\n\tno field package.preload['" .. name .. "']")
  end,
  function(name) return bundled(canonical(name)) end,
}
package.loaders = package.searchers

-- Bundled modules are shared between their spellings: require('json') == require('.json').
local cache = {}

function require(name)
  if type(name) ~= "string" then error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2) end
  local loaded = package.loaded[name]
  if loaded ~= nil then return loaded end
  local short = canonical(name)
  if cache[short] ~= nil then
    package.loaded[name] = cache[short]
    return cache[short]
  end
  local reasons = {}
  for _, searcher in ipairs(package.searchers) do
    local loader, extra = searcher(name)
    if type(loader) == "function" then
      local value = loader(name, extra)
      if value == nil then value = package.loaded[name] end
      if value == nil then value = true end
      if searcher == package.searchers[2] then cache[short] = value end
      package.loaded[name] = value
      return value
    elseif type(loader) == "string" then
      reasons[#reasons + 1] = loader
    end
  end
  error("module '" .. name .. "' not found:" .. table.concat(reasons), 2)
end

debug = {
  traceback = native.traceback,
  -- Programs use this to name themselves in messages; there is no debug library behind it.
  getinfo = function() return { short_src = "process", source = "=process", currentline = -1, what = "Lua" } end,
}
package.loaded.debug = debug
package.loaded.package = package
