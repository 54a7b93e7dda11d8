-- .utils: small functions on tables, in the manner of aos.
local rt = ...
local utils = { _version = "0.0.5", matchesPattern = rt.utils.matchesPattern, matchesSpec = rt.utils.matchesSpec }

local function is_array(tbl)
  if type(tbl) ~= "table" then return false end
  local count = 0
  for _ in next, tbl do count = count + 1 end
  return count == #tbl
end

function utils.curry(f, arity)
  arity = arity or 2
  if arity < 2 then return f end
  local function collect(given)
    return function(...)
      local all = { table.unpack(given) }
      for _, value in ipairs { ... } do all[#all + 1] = value end
      if #all >= arity then return f(table.unpack(all)) end
      return collect(all)
    end
  end
  return collect {}
end

utils.isArray = is_array
utils.isArrayLike = is_array

utils.concat = utils.curry(function(a, b)
  local all = {}
  for _, value in ipairs(a) do all[#all + 1] = value end
  for _, value in ipairs(b) do all[#all + 1] = value end
  return all
end)

utils.reduce = utils.curry(function(f, initial, tbl)
  local result = initial
  for i, value in ipairs(tbl) do
    if result == nil then result = value else result = f(result, value, i) end
  end
  return result
end, 3)

utils.map = utils.curry(function(f, tbl)
  local all = {}
  for i, value in ipairs(tbl) do all[i] = f(value, i) end
  return all
end)

utils.filter = utils.curry(function(f, tbl)
  local all = {}
  for _, value in ipairs(tbl) do
    if f(value) then all[#all + 1] = value end
  end
  return all
end)

utils.find = utils.curry(function(f, tbl)
  for _, value in ipairs(tbl) do
    if f(value) then return value end
  end
end)

utils.includes = utils.curry(function(wanted, tbl)
  for _, value in ipairs(tbl) do
    if value == wanted then return true end
  end
  return false
end)

utils.propEq = utils.curry(function(name, wanted, tbl) return tbl[name] == wanted end, 3)
utils.prop = utils.curry(function(name, tbl) return tbl[name] end)

function utils.reverse(tbl)
  local all = {}
  for i = #tbl, 1, -1 do all[#all + 1] = tbl[i] end
  return all
end

function utils.compose(...)
  local functions = { ... }
  return function(value)
    for i = #functions, 1, -1 do value = functions[i](value) end
    return value
  end
end

-- In a fixed order, unlike those of aos.
function utils.keys(tbl) return rt.sorted_keys(tbl) end

function utils.values(tbl)
  local all = {}
  for i, key in ipairs(rt.sorted_keys(tbl)) do all[i] = tbl[key] end
  return all
end

return utils
