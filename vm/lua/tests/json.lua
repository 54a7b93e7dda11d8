local json = require("json")

-- what goes in, and the text that comes out
for _, case in ipairs {
  { {}, "[]" }, { { 1, 2, 3 }, "[1,2,3]" }, { { b = 1, a = { true, false } }, '{"a":[true,false],"b":1}' }, { "a\"b\\c\n\1\127", [["a\"b\\c\n\u0001\u007f"]] },
  { 1.5, "1.5" }, { 1 / 3, "0.33333333333333331" }, { math.maxinteger, "9223372036854775807" }, { { [10] = "x" }, '{"10":"x"}' }, { "é", '"é"' },
} do
  expect(json.encode(case[1]), case[2])
end

-- texts that come back as they were
for _, text in ipairs { "[]", "[1,[2,[3]]]", '{"a":{"b":[{"c":"d"}]}}', '"\\u0001"', "-1.5", "true", "[false]" } do
  expect(json.encode(json.decode(text)), text)
end

expect(json.decode(" [1 , 2\n,\t3 ] ")[3], 3)
expect(json.decode('"\\u00e9\\ud83d\\ude00\\/"'), "é😀/")
expect(json.decode('"\\ud83d"'), "\u{FFFD}")
expect(json.decode("null"), nil)
expect(math.type(json.decode("10")), "integer")
expect(json.decode("1e3"), 1000.0)
expect(json.decode('{"a":null}').a, nil)

for _, bad in ipairs { "", "[", "[1,]", "{", '{"a"}', '{"a":}', '{a:1}', "tru", "01", "1 2", '"', '"\n"', '"\\x"', '"\\u12"', "[1 2]", "nan", "-", ("["):rep(300) } do
  fails(function() json.decode(bad) end, "^json: ")
end
local circle = {}
circle[1] = circle
for _, bad in ipairs { circle, { print }, 0 / 0, { [true] = 1 } } do
  fails(function() json.encode(bad) end, "^json: ")
end
local deep = {}
for _ = 1, 300 do deep = { deep } end
fails(function() json.encode(deep) end, "nesting")
