-- os: time is that of the message, nothing else exists.
--
-- os.time() is the message's Timestamp in milliseconds, as aos programs expect it. os.time(table) and os.date work in seconds, in UTC, as
-- stock Lua does. os.clock() is the message's time in seconds: it stands still during an evaluation.
local rt = ...

rt.now_ms = 0
os = {}

-- Days since 1970-01-01 of a civil date, and back (proleptic Gregorian calendar, any integer year).
local function days_of(year, month, day)
  year = year + (month - 1) // 12
  month = (month - 1) % 12 + 1
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local year_of_era = year - era * 400
  local day_of_year = (153 * (month + (month > 2 and -3 or 9)) + 2) // 5 + day - 1
  return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468
end

local function civil_of(days)
  days = days + 719468
  local era = days // 146097
  local doe = days - era * 146097
  local yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
  local doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
  local mp = (5 * doy + 2) // 153
  local month = mp < 10 and mp + 3 or mp - 9
  return yoe + era * 400 + (month <= 2 and 1 or 0), month, doy - (153 * mp + 2) // 5 + 1
end

local function field(tbl, name, default)
  local value = math.tointeger(tonumber(tbl[name]))
  if value then return value end
  if tbl[name] == nil and default then return default end
  error("field '" .. name .. "' missing or not an integer in date table", 3)
end

function os.time(tbl)
  if tbl == nil then return rt.now_ms end
  local days = days_of(field(tbl, "year"), field(tbl, "month"), field(tbl, "day"))
  return days * 86400 + field(tbl, "hour", 12) * 3600 + field(tbl, "min", 0) * 60 + field(tbl, "sec", 0)
end

function os.clock() return rt.now_ms / 1000 end

function os.difftime(a, b) return (a - (b or 0)) + 0.0 end

function os.getenv() return nil end

local DAYS = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" }
local MONTHS = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December" }

local function broken_down(seconds)
  local days, rest = seconds // 86400, seconds % 86400
  local year, month, day = civil_of(days)
  return {
    year = year, month = month, day = day, hour = rest // 3600, min = rest % 3600 // 60, sec = rest % 60,
    wday = (days + 4) % 7 + 1, yday = days - days_of(year, 1, 1) + 1, isdst = false,
  }
end

local put
local formats = {
  a = function(t) return DAYS[t.wday]:sub(1, 3) end,
  A = function(t) return DAYS[t.wday] end,
  b = function(t) return MONTHS[t.month]:sub(1, 3) end,
  B = function(t) return MONTHS[t.month] end,
  c = function(t) return put("%a %b %e %H:%M:%S %Y", t) end,
  C = function(t) return ("%02d"):format(t.year // 100) end,
  d = function(t) return ("%02d"):format(t.day) end,
  D = function(t) return put("%m/%d/%y", t) end,
  e = function(t) return ("%2d"):format(t.day) end,
  F = function(t) return put("%Y-%m-%d", t) end,
  h = function(t) return MONTHS[t.month]:sub(1, 3) end,
  H = function(t) return ("%02d"):format(t.hour) end,
  I = function(t) return ("%02d"):format((t.hour + 11) % 12 + 1) end,
  j = function(t) return ("%03d"):format(t.yday) end,
  m = function(t) return ("%02d"):format(t.month) end,
  M = function(t) return ("%02d"):format(t.min) end,
  n = function() return "\n" end,
  p = function(t) return t.hour < 12 and "AM" or "PM" end,
  r = function(t) return put("%I:%M:%S %p", t) end,
  R = function(t) return put("%H:%M", t) end,
  S = function(t) return ("%02d"):format(t.sec) end,
  t = function() return "\t" end,
  T = function(t) return put("%H:%M:%S", t) end,
  u = function(t) return tostring((t.wday + 5) % 7 + 1) end,
  w = function(t) return tostring(t.wday - 1) end,
  x = function(t) return put("%m/%d/%y", t) end,
  X = function(t) return put("%H:%M:%S", t) end,
  y = function(t) return ("%02d"):format(t.year % 100) end,
  Y = function(t) return tostring(t.year) end,
  z = function() return "+0000" end,
  Z = function() return "UTC" end,
  ["%"] = function() return "%" end,
}

put = function(format, t)
  return (format:gsub("%%(.?)", function(letter)
    local write = formats[letter]
    if not write then error("bad argument #1 to 'date' (invalid conversion specifier '%" .. letter .. "')", 4) end
    return write(t)
  end))
end

function os.date(format, seconds)
  format = format or "%c"
  seconds = math.tointeger(seconds or rt.now_ms // 1000) or error("bad argument #2 to 'date' (number has no integer representation)", 2)
  if seconds > 1 << 55 or seconds < -(1 << 55) then error("date result cannot be represented in this installation", 2) end
  local t = broken_down(seconds)
  format = format:gsub("^!", "")
  if format:sub(1, 2) == "*t" then return t end
  return put(format, t)
end

package.loaded.os = os
