-- .bint: signed integers of a fixed number of bits, for balances beyond 64 bits. `local bint = require(".bint")(256)`.
--
-- Results wrap around as two's complement of that width, like the library aos bundles. Inside, a value is a sign and a magnitude in
-- limbs of nine decimal digits: balances are read from text and written as text far more often than they are multiplied.
local rt = ...
local big_sum, big_compare, big_parse = rt.native.big_sum, rt.native.big_compare, rt.native.big_parse

local BASE = 1000000000
local DIGITS = 9

-- Magnitudes: arrays of limbs, lowest first, without leading zeros. Zero is the empty array.

local function mag_compare(a, b)
  if #a ~= #b then return #a < #b and -1 or 1 end
  for i = #a, 1, -1 do
    if a[i] ~= b[i] then return a[i] < b[i] and -1 or 1 end
  end
  return 0
end

local function mag_add(a, b)
  if #a < #b then a, b = b, a end
  local sum, carry = {}, 0
  for i = 1, #a do
    local limb = a[i] + (b[i] or 0) + carry
    if limb >= BASE then
      sum[i], carry = limb - BASE, 1
    else
      sum[i], carry = limb, 0
    end
  end
  if carry > 0 then sum[#sum + 1] = carry end
  return sum
end

local function trim(mag)
  for i = #mag, 1, -1 do
    if mag[i] ~= 0 then break end
    mag[i] = nil
  end
  return mag
end

-- a - b where a >= b
local function mag_sub(a, b)
  local difference, borrow = {}, 0
  for i = 1, #a do
    local limb = a[i] - (b[i] or 0) - borrow
    if limb < 0 then
      difference[i], borrow = limb + BASE, 1
    else
      difference[i], borrow = limb, 0
    end
  end
  return trim(difference)
end

local function mag_mul(a, b)
  if #a == 0 or #b == 0 then return {} end
  local product = {}
  for i = 1, #a + #b do product[i] = 0 end
  for i = 1, #a do
    local carry, x = 0, a[i]
    for j = 1, #b do
      local limb = product[i + j - 1] + x * b[j] + carry
      carry = limb // BASE
      product[i + j - 1] = limb - carry * BASE
    end
    local at = i + #b
    while carry > 0 do
      local limb = product[at] + carry
      carry = limb // BASE
      product[at] = limb - carry * BASE
      at = at + 1
    end
  end
  return trim(product)
end

local function mag_div_small(a, divisor)
  local quotient, rest = {}, 0
  for i = #a, 1, -1 do
    local limb = rest * BASE + a[i]
    quotient[i] = limb // divisor
    rest = limb % divisor
  end
  return trim(quotient), rest
end

-- Long division (Knuth, algorithm D) in base 10^9; quotient and remainder.
local function mag_divmod(a, b)
  if mag_compare(a, b) < 0 then return {}, a end
  if #b == 1 then
    local quotient, rest = mag_div_small(a, b[1])
    return quotient, rest > 0 and { rest } or {}
  end
  local scale = BASE // (b[#b] + 1)
  local u, v = mag_mul(a, { scale }), mag_mul(b, { scale })
  local n = #v
  local top, second = v[n], v[n - 1]
  while #u < #a + 1 do u[#u + 1] = 0 end
  local quotient = {}
  for j = #u - n, 1, -1 do
    local head = u[j + n] * BASE + u[j + n - 1]
    local guess, rest = head // top, head % top
    while guess >= BASE or guess * second > rest * BASE + u[j + n - 2] do
      guess, rest = guess - 1, rest + top
      if rest >= BASE then break end
    end
    local borrow = 0
    for i = 1, n do
      local limb = u[j + i - 1] - guess * v[i] - borrow
      borrow = -(limb // BASE)
      u[j + i - 1] = limb + borrow * BASE
    end
    u[j + n] = u[j + n] - borrow
    if u[j + n] < 0 then
      guess = guess - 1
      local carry = 0
      for i = 1, n do
        local limb = u[j + i - 1] + v[i] + carry
        carry = limb >= BASE and 1 or 0
        u[j + i - 1] = limb - carry * BASE
      end
      u[j + n] = u[j + n] + carry
    end
    quotient[j] = guess
  end
  return trim(quotient), (mag_div_small(trim(u), scale))
end

local function mag_text(mag)
  if #mag == 0 then return "0" end
  local parts = { tostring(mag[#mag]) }
  for i = #mag - 1, 1, -1 do parts[#parts + 1] = ("%09d"):format(mag[i]) end
  return table.concat(parts)
end

local function mag_parse(digits)
  if #digits <= DIGITS then
    local limb = tonumber(digits)
    return limb > 0 and { limb } or {}
  end
  if digits:byte() == 48 then digits = digits:match("^0*(%d*)$") end
  local mag = {}
  for last = #digits, 1, -DIGITS do
    mag[#mag + 1] = tonumber(digits:sub(math.max(1, last - DIGITS + 1), last))
  end
  return mag
end

local function mag_of(natural) -- of an integer >= 0
  local mag = {}
  while natural > 0 do
    mag[#mag + 1] = natural % BASE
    natural = natural // BASE
  end
  return mag
end

local MIN_MAG = mag_parse("9223372036854775808")

local classes = {}

local function new_class(bits)
  if math.type(bits) ~= "integer" or bits < 32 or bits > 65536 then error("bint: bits must be an integer from 32 to 65536", 3) end
  local bint = { bits = bits }
  bint.__index = bint
  local modulus = { 1 }
  for _ = 1, bits do modulus = mag_add(modulus, modulus) end
  local half = (mag_div_small(modulus, 2))
  -- Magnitudes of so many limbs are below `half`: nothing wraps around. The guest's C does what stays inside (lua/c/big.c).
  local room = #half - 1

  -- A value from sign and magnitude, wrapped into the width.
  local function make(negative, mag)
    local over = mag_compare(mag, half)
    if over > 0 or over == 0 and not negative then
      local _, rest = mag_divmod(mag, modulus)
      if negative and #rest > 0 then rest = mag_sub(modulus, rest) end
      negative = mag_compare(rest, half) >= 0
      mag = negative and mag_sub(modulus, rest) or rest
    end
    return setmetatable({ negative = negative and #mag > 0, mag = mag }, bint)
  end

  -- The value as a natural number below 2^bits.
  local function unsigned(x)
    return x.negative and mag_sub(modulus, x.mag) or x.mag
  end

  function bint.isbint(x) return getmetatable(x) == bint end

  function bint.frominteger(x)
    x = math.tointeger(x)
    if not x then return nil end
    if x == math.mininteger then return make(true, MIN_MAG) end
    return make(x < 0, mag_of(x < 0 and -x or x))
  end
  bint.fromuinteger = bint.frominteger

  local function digit_of(c)
    return tonumber(c, 36)
  end

  function bint.frombase(text, base)
    base = base or 10
    if type(text) ~= "string" or base < 2 or base > 36 then return nil end
    local sign, digits = text:match("^%s*([+-]?)(%w+)%s*$")
    if not digits then return nil end
    if base == 10 then
      if digits:find("%D") or #digits > bits then return nil end
      return make(sign == "-", mag_parse(digits))
    end
    local mag = {}
    for c in digits:gmatch(".") do
      local digit = digit_of(c)
      if not digit or digit >= base then return nil end
      mag = mag_add(mag_mul(mag, { base }), mag_of(digit))
    end
    return make(sign == "-", mag)
  end

  function bint.fromstring(text)
    if type(text) ~= "string" then return nil end
    local plain = #text <= bits and big_parse(text, bint, room)
    if plain then return plain end
    if text:find("^%d+$") and #text <= bits then return make(false, mag_parse(text)) end
    local sign, hex = text:match("^%s*([+-]?)0[xX](%x+)%s*$")
    if hex then return bint.frombase(sign .. hex, 16) end
    local binary
    sign, binary = text:match("^%s*([+-]?)0[bB]([01]+)%s*$")
    if binary then return bint.frombase(sign .. binary, 2) end
    return bint.frombase(text, 10)
  end

  -- A value from whatever stands for an integer, or nil.
  function bint.tobint(x)
    if getmetatable(x) == bint then return x end
    local kind = type(x)
    if kind == "number" then return bint.frominteger(x) end
    if kind == "string" then return bint.fromstring(x) end
    if kind == "table" and rawget(x, "mag") then return make(x.negative, x.mag) end
  end

  function bint.new(x)
    local value = bint.tobint(x)
    if not value then error("bint: " .. (type(x) == "string" and ("'" .. x:sub(1, 64) .. "'") or tostring(x)) .. " has no integer representation", 2) end
    return value
  end
  local new = bint.new

  function bint.zero() return make(false, {}) end
  function bint.one() return make(false, { 1 }) end
  function bint.mone() return make(true, { 1 }) end
  function bint.maxinteger() return make(false, mag_sub(half, { 1 })) end
  function bint.mininteger() return make(true, half) end

  function bint.iszero(x) return #new(x).mag == 0 end
  function bint.isone(x) return bint.eq(x, 1) end
  function bint.isminusone(x) return bint.eq(x, -1) end
  function bint.isneg(x) return new(x).negative end
  function bint.ispos(x) x = new(x) return not x.negative and #x.mag > 0 end
  function bint.iseven(x) return (new(x).mag[1] or 0) % 2 == 0 end
  function bint.isodd(x) return not bint.iseven(x) end
  function bint.isintegral(x) return bint.isbint(x) or math.type(x) == "integer" end
  function bint.isnumeric(x) return bint.isbint(x) or type(x) == "number" end
  function bint.abs(x) return make(false, new(x).mag) end

  -- As a Lua integer: wraps beyond 64 bits, as the library aos bundles does.
  function bint.tointeger(x)
    if not bint.isbint(x) then return math.tointeger(x) end
    local value, scale = 0, 1
    for _, limb in ipairs(x.mag) do
      value = value + limb * scale
      scale = scale * BASE
    end
    return x.negative and -value or value
  end
  bint.touinteger = bint.tointeger

  -- As a Lua number: an integer where it fits, else a float.
  function bint.tonumber(x)
    if not bint.isbint(x) then return tonumber(x) end
    local fits = mag_compare(x.mag, MIN_MAG)
    if fits < 0 or fits == 0 and x.negative then return bint.tointeger(x) end
    local value = 0.0
    for i = #x.mag, 1, -1 do value = value * BASE + x.mag[i] end
    return x.negative and -value or value
  end

  function bint.__tostring(x)
    return (x.negative and "-" or "") .. mag_text(x.mag)
  end

  function bint.tobase(x, base, as_unsigned)
    x, base = new(x), base or 10
    if base < 2 or base > 36 then return nil end
    if as_unsigned == nil then as_unsigned = base ~= 10 end
    local mag, negative = as_unsigned and unsigned(x) or x.mag, not as_unsigned and x.negative
    if base == 10 then return (negative and "-" or "") .. mag_text(mag) end
    local digits, rest = {}, 0
    while #mag > 0 do
      mag, rest = mag_div_small(mag, base)
      digits[#digits + 1] = ("0123456789abcdefghijklmnopqrstuvwxyz"):sub(rest + 1, rest + 1)
    end
    return (negative and "-" or "") .. (#digits > 0 and table.concat(digits):reverse() or "0")
  end

  local function add(a, b)
    if a.negative == b.negative then return make(a.negative, mag_add(a.mag, b.mag)) end
    local order = mag_compare(a.mag, b.mag)
    if order >= 0 then return make(a.negative, mag_sub(a.mag, b.mag)) end
    return make(b.negative, mag_sub(b.mag, a.mag))
  end

  local function subtract(a, b)
    if a.negative ~= b.negative then return make(a.negative, mag_add(a.mag, b.mag)) end
    if mag_compare(a.mag, b.mag) >= 0 then return make(a.negative, mag_sub(a.mag, b.mag)) end
    return make(not a.negative, mag_sub(b.mag, a.mag))
  end

  local function negate(x) return make(not x.negative, x.mag) end

  function bint.__add(a, b) return big_sum(a, b, bint, room) or add(new(a), new(b)) end
  function bint.__sub(a, b) return big_sum(a, b, bint, room, true) or subtract(new(a), new(b)) end
  function bint.__unm(x) return negate(new(x)) end
  function bint.__mul(a, b)
    a, b = new(a), new(b)
    return make(a.negative ~= b.negative, mag_mul(a.mag, b.mag))
  end

  local function divisor(b)
    b = new(b)
    if #b.mag == 0 then error("attempt to perform division by zero", 3) end
    return b
  end

  -- Rounds towards minus infinity, as Lua's // and % do.
  function bint.idivmod(a, b)
    a, b = new(a), divisor(b)
    local quotient, rest = mag_divmod(a.mag, b.mag)
    if a.negative ~= b.negative then
      if #rest > 0 then quotient, rest = mag_add(quotient, { 1 }), mag_sub(b.mag, rest) end
      return make(true, quotient), make(b.negative, rest)
    end
    return make(false, quotient), make(b.negative, rest)
  end

  -- Rounds towards zero, as C does.
  function bint.tdivmod(a, b)
    a, b = new(a), divisor(b)
    local quotient, rest = mag_divmod(a.mag, b.mag)
    return make(a.negative ~= b.negative, quotient), make(a.negative, rest)
  end

  function bint.udivmod(a, b)
    local quotient, rest = mag_divmod(unsigned(new(a)), unsigned(divisor(b)))
    return make(false, quotient), make(false, rest)
  end

  function bint.__idiv(a, b) return (bint.idivmod(a, b)) end
  function bint.__mod(a, b) return (select(2, bint.idivmod(a, b))) end
  function bint.__div(a, b) return bint.tonumber(new(a)) / bint.tonumber(new(b)) end
  function bint.udiv(a, b) return (bint.udivmod(a, b)) end
  function bint.umod(a, b) return (select(2, bint.udivmod(a, b))) end
  function bint.tdiv(a, b) return (bint.tdivmod(a, b)) end
  function bint.tmod(a, b) return (select(2, bint.tdivmod(a, b))) end

  -- x^n by squaring; n below zero gives 0 except for 1 and -1, as an integer power does.
  function bint.ipow(x, n)
    x, n = new(x), new(n)
    if n.negative then
      if bint.isone(x) then return bint.one() end
      return bint.isminusone(x) and (bint.iseven(n) and bint.one() or bint.mone()) or bint.zero()
    end
    local result, exponent, rest = bint.one(), n.mag, 0
    while #exponent > 0 do
      exponent, rest = mag_div_small(exponent, 2)
      if rest == 1 then result = result * x end
      if #exponent > 0 then x = x * x end
    end
    return result
  end
  function bint.__pow(x, n) return bint.ipow(x, n) end

  function bint.upowmod(x, n, m)
    local modulo = unsigned(divisor(m))
    local _, power = mag_divmod(unsigned(new(x)), modulo)
    local exponent, rest = unsigned(new(n)), 0
    local _, result = mag_divmod({ 1 }, modulo)
    while #exponent > 0 do
      exponent, rest = mag_div_small(exponent, 2)
      if rest == 1 then _, result = mag_divmod(mag_mul(result, power), modulo) end
      if #exponent > 0 then _, power = mag_divmod(mag_mul(power, power), modulo) end
    end
    return make(false, result)
  end

  local function compare(a, b)
    local known = big_compare(a, b, bint)
    if known then return known end
    a, b = new(a), new(b)
    if a.negative ~= b.negative then return a.negative and -1 or 1 end
    local order = mag_compare(a.mag, b.mag)
    return a.negative and -order or order
  end

  function bint.eq(a, b)
    a, b = bint.tobint(a), bint.tobint(b)
    return a ~= nil and b ~= nil and compare(a, b) == 0
  end
  bint.__eq = bint.eq
  function bint.__lt(a, b) return (big_compare(a, b, bint) or compare(a, b)) < 0 end
  function bint.__le(a, b) return (big_compare(a, b, bint) or compare(a, b)) <= 0 end
  function bint.ult(a, b) return mag_compare(unsigned(new(a)), unsigned(new(b))) < 0 end
  function bint.ule(a, b) return mag_compare(unsigned(new(a)), unsigned(new(b))) <= 0 end
  function bint.max(a, b) return compare(a, b) >= 0 and new(a) or new(b) end
  function bint.min(a, b) return compare(a, b) <= 0 and new(a) or new(b) end

  -- Bitwise operators work on words of 24 bits of the two's complement.
  local WORD = 1 << 24
  local function words(x)
    local list, mag, rest = {}, unsigned(x), 0
    for i = 1, (bits + 23) // 24 do
      mag, rest = mag_div_small(mag, WORD)
      list[i] = rest
    end
    return list
  end
  local function from_words(list)
    local mag = {}
    for i = #list, 1, -1 do mag = mag_add(mag_mul(mag, { WORD }), mag_of(list[i])) end
    local _, rest = mag_divmod(mag, modulus)
    return make(false, rest)
  end
  local function bitwise(f)
    return function(a, b)
      local x, y = words(new(a)), words(new(b))
      for i = 1, #x do x[i] = f(x[i], y[i]) & (WORD - 1) end
      return from_words(x)
    end
  end
  bint.__band = bitwise(function(a, b) return a & b end)
  bint.__bor = bitwise(function(a, b) return a | b end)
  bint.__bxor = bitwise(function(a, b) return a ~ b end)
  function bint.__bnot(x) return make(false, mag_sub(mag_sub(modulus, { 1 }), unsigned(new(x)))) end

  local function power_of_two(n)
    local mag = { 1 }
    for _ = 1, n // 29 do mag = mag_mul(mag, { 1 << 29 }) end
    return mag_mul(mag, { 1 << n % 29 })
  end
  function bint.__shl(x, n)
    x, n = new(x), bint.tointeger(n)
    if n < 0 then return bint.__shr(x, -n) end
    return n >= bits and bint.zero() or make(x.negative, mag_mul(x.mag, power_of_two(n)))
  end
  -- Logical, as in Lua.
  function bint.__shr(x, n)
    x, n = new(x), bint.tointeger(n)
    if n < 0 then return bint.__shl(x, -n) end
    return n >= bits and bint.zero() or make(false, (mag_divmod(unsigned(x), power_of_two(n))))
  end

  return setmetatable(bint, { __call = function(_, x) return bint.new(x) end })
end

return function(bits)
  bits = bits or 256
  classes[bits] = classes[bits] or new_class(bits)
  return classes[bits]
end
