#include "eval/tasks/words.h"

#include "eval/metrics/metric_text.h"

namespace claa::eval {
namespace {

// Common words of the project's own choice. No word is in two lists, because a counted word must occur in
// only one.
constexpr std::string_view kNouns = R"(
acorn actor airport album alley almond amber anchor animal ankle anvil apple apricot apron arch archive
armchair army arrow artist atlas attic aunt author autumn avenue badge bakery balcony ballad balloon bamboo
banana banjo bank barley barn barrel basin basket battery beach beacon beak bean beard beaver bedroom beetle
bell belt bench berry bicycle bird biscuit blanket blossom boat bolt bonnet book boot bottle boulder bowl
bracelet branch bread breeze brick bridge broom brother brush bucket buffalo builder bullet butter button
cabin cable cactus cake camel camera canal candle cannon canoe canvas captain caravan carpet carriage carrot
cart castle cat cattle cave cedar ceiling cellar cello chain chair chalk chapel cheese cherry chestnut
chicken chimney church cinema circle circus citizen clarinet clay clerk cliff clock cloth cloud clover coach
coast coat cobbler coconut coffee coin collar colony comb comet compass concert cookie copper coral cork
corn corner cottage cotton cousin cow crab cradle crane crater cricket crown crystal cup cupboard curtain
cushion cymbal daisy dancer daughter deer desert desk diamond diary dinner doctor dog dolphin donkey door
dove dragon drawer dress drum duck dune eagle earring easel echo elbow elephant elm emerald engine envelope
evening eyebrow fabric factory falcon farmer feather fence fern ferry fiddle field finger fireplace fish
flag flame flute forest fork fortress fossil fountain fox freckle friend frog fruit furnace galaxy gallery
garage garden garlic gate geese gem geyser giant ginger giraffe glacier glass glove goat goblet gold goose
grain grandmother granite grape grass gravel guitar hail hammer hammock hamster handle harbor harp harvest
hat hatch hawk hazel hedge helmet herb heron hill hinge honey hood hook horn horse hospital hotel hour house
hunter hut iceberg igloo ink inn insect iron island ivory ivy jacket jaguar jar jasmine jewel jigsaw journal
journey judge jug juice jungle kangaroo kettle key kitchen kite kitten knee knife knight knot ladder lady
lagoon lake lamb lamp lantern lark laundry lawyer leaf leather lemon leopard letter library lighthouse lily
lime linen lion lizard lobster lock locket log lotus lumber lunch magnet mango mantle maple marble market
marsh mask mason meadow medal melody melon merchant mermaid meteor microscope mill mine mirror mitten moat
monk monkey moon morning mosaic moss moth mountain mouse mule museum mushroom musician mustard nail napkin
necklace needle neighbor nest net newspaper night noodle nurse nut oak oar oasis oat ocean octopus olive
onion opera orange orchard orchid organ ostrich otter oven owl ox oyster paddle painter palace palm panda
pantry paper parade parcel park parrot pasture path peach peacock pear pearl pebble pelican pen pencil
penguin pepper piano picnic picture pigeon pillow pilot pine pirate planet plank plate plum pocket poet pond
pony poppy porch porter potato potter prairie prince pumpkin puppet puzzle pyramid quarry queen quilt rabbit
raccoon radish raft railway rain raisin ranch raven razor reef ribbon rice river road robin rocket roof
rooster rope rose ruby rug sailor salad salmon sandal satin sauce saucer scarf school scissors sculptor seal
seed shadow shark sheep shelf shell shepherd ship shirt shoe shop shore shovel sister skeleton skirt sky
slipper snail snow soap soldier sparrow spider spoon spring squirrel stable stairs star station statue stone
stork storm stove stream street summer sunflower swallow swan sword table tailor tavern teacher teapot
temple tent theater thimble thread throne thunder tiger timber toast tomato torch tower town tractor train
tray treasure tree trumpet trunk tulip tunnel turkey turtle umbrella uncle unicorn valley vase velvet
village vine violet violin volcano wagon waiter wallet walnut walrus waterfall wharf wheat wheel whisker
whistle willow window wing winter wizard wolf wool workshop wren yacht yarn zebra zipper
)";

constexpr std::string_view kAdjectives = R"(
able abrupt absent absurd acidic active adept adorable agile airy alert amazing ample amused ancient angry
annual anxious arctic arid artistic ashamed austere average aware awkward bashful basic beautiful bitter
blank bleak blue blunt bold boring brave brief bright brisk broad bronze bubbly bulky bumpy busy calm candid
careful careless casual cautious charming cheap cheerful chilly chubby civil clean clear clever cloudy
clumsy coarse cold colorful colossal common complex cool cordial correct costly cozy crafty crazy creamy
creative crimson crisp crooked crowded cruel curious curly daily damp daring dark dear decent deep delicate
delicious dense dim diligent dirty distant dizzy double drab dreary dry dull dusty dutiful eager early
earnest easy elaborate elastic elderly elegant eminent empty enormous entire equal eternal even exact
excited exotic expert faint fair faithful famous fancy fast fatal fearless feeble fertile fierce fine firm
fit fixed flaky flat flimsy fluffy fond foolish foreign formal fragile frail frank free frequent fresh
friendly frosty frozen frugal full funny furry future fuzzy gentle genuine gifted gigantic glad gleaming
gloomy glossy golden good graceful grand grateful gray greasy great greedy green grim grumpy handsome handy
happy hard harsh hasty healthy heavy helpful hidden hollow holy honest horrid hot huge humble humid hungry
hushed icy ideal idle immense innocent intense inner jagged jolly joyful juicy junior keen kind known large
late lavish lazy lean legal level light likely limp little lively local lofty lonely long loose loud lovely
loyal lucky lunar mad magic major married massive mature meager medium mellow merry messy mighty mild minor
misty modern modest moist muddy musical mute mysterious narrow nasty native natural neat nervous new nice
nimble noble noisy normal northern numb obedient oblong obvious odd old open opposite ordinary ornate outer
oval pale past patient peaceful perfect petite pink plain playful pleasant plump polite poor popular
practical precious pretty prickly private proper proud public punctual pure purple puzzled quaint quick
quiet quirky random rapid rare raw ready real red regal regular remote rich rigid ripe rocky rosy rotten
rough round royal rude rural rusty sad safe salty scarce scarlet secret selfish senior serene serious shabby
shaky shallow sharp shiny short shrill shy silent silky silly silver simple sincere skilled sleek sleepy
slender slim slippery slow small smart smooth sociable soft solar solemn solid sore sour spare sparkling
special spicy spotless square stale steady steep sticky stiff still stormy strange striped strong sturdy
subtle sudden sulky sunny superb sweet swift tall tame tan tangy tart tasty tender tense thick thin thirsty
thorny thrifty tidy tight tiny tired tough tragic tranquil tricky tropical true trusty ugly unique unusual
upbeat upper urban useful usual vacant vague vain valid vast vital vivid vocal warm wary watery weak wealthy
weary weekly weird wet whole wicked wide wild wise witty wonderful wooden worried worthy yellow young zany
zealous
)";

constexpr std::string_view kVerbs = R"(
accept achieve admire admit adopt advise agree allow amuse announce answer appear approve argue arrange
arrive ask assemble attach attend avoid bake bathe become beg begin behave believe belong bend blink boil
borrow bounce bow breathe bring build burn bury buy calculate carry carve catch celebrate change chase cheer
choose chop clap climb collect combine compare complain complete confess confuse consider continue cook copy
count cover crawl create cross cry dance decide decorate defend deliver deny depend describe deserve destroy
develop dig disagree discover divide drag draw dream drift drink drive drop earn eat embrace encourage enjoy
enter erase escape examine exist expand expect explain explore fade fail fall fasten feed feel fetch fight
find finish float flow fly fold follow forget forgive gather gaze give glow grab greet grind grow guess
guide happen hear heat hesitate hide hire hop hug hum hurry imagine improve include inform inspect invent
invite join juggle jump keep kneel knit knock know laugh launch lead learn leave lend lick lift listen live
look lose love maintain manage march marry measure melt mend mention mix move multiply notice obey object
observe obtain occur offer owe own paint pause pay perform permit persuade pick plan play point polish pour
practise praise pray prefer prepare press pretend prevent promise protect provide pull punch push reach read
realize receive recognize refuse regret relax remain remember remind remove repair repeat replace reply
rescue rest return reveal ride rinse rise roar roll rub run rush save scatter scold scratch scream search
seem send separate serve settle sew shake share shave shine shout shrug shut sigh sing sink sit sketch skip
sleep slide smell smile sneeze solve speak spell spend spill spin split spread squeeze stand stare start
steal stir stop stretch stumble succeed suffer suggest supply support surround survive suspect swim swing
switch talk teach tease tell thank think throw tickle touch trace travel tremble trust try twist understand
unlock vanish visit wait wake walk wander warn wash wave wear weave weep weigh welcome whisper win wink wipe
wish wonder work worry wrap write yawn yell
)";

}  // namespace

const std::vector<std::string_view>& nouns() {
  static const std::vector<std::string_view> words = split_words(kNouns);
  return words;
}

const std::vector<std::string_view>& adjectives() {
  static const std::vector<std::string_view> words = split_words(kAdjectives);
  return words;
}

const std::vector<std::string_view>& verbs() {
  static const std::vector<std::string_view> words = split_words(kVerbs);
  return words;
}

std::string random_compound(Random& random) {
  return fmt::format("{}-{}", random.choice(adjectives()), random.choice(nouns()));
}

}  // namespace claa::eval
