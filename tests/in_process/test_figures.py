from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Kept, Place

PLOT = "import matplotlib.pyplot as plt\n"


def pictures(kept: Kept) -> list[bytes]:
    return [base64.b64decode(one.data["image/png"]) for one in kept.of_type("display_data")]


async def test_figures_are_shown_by_the_run_that_made_them_and_closed(place: Place) -> None:
    _, kept = await place.run(PLOT + "plt.plot([1, 2]); plt.figure(); plt.plot([2, 1])\nprint('made')")
    assert [picture[:4] for picture in pictures(kept)] == [b"\x89PNG"] * 2
    ending, kept = await place.run("plt.get_fignums()")
    assert ending.value == []
    assert pictures(kept) == []


async def test_show_shows_at_once_and_choosing_a_backend_is_harmless(place: Place) -> None:
    _, kept = await place.run(
        "import matplotlib; matplotlib.use('Agg')\n" + PLOT + "plt.plot([1])\nplt.show()\nprint('after')"
    )
    assert [one.type for one in kept.outputs] == ["display_data", "stream"]
    assert await place.value("%matplotlib inline\nmatplotlib.get_backend()") == "agg"


async def test_a_failing_run_shows_what_it_has_drawn(place: Place) -> None:
    _, kept = await place.run(PLOT + "plt.plot([1])\n1/0")
    assert len(pictures(kept)) == 1


async def test_two_sessions_drawing_at_once_see_only_their_own_figures(place: Place, other: Place) -> None:
    code = PLOT + (
        "import time\n"
        "for n in range(count): plt.figure(); plt.plot([n]); time.sleep(0.02)\nlen(plt.get_fignums())"
    )
    (first, one), (second, two) = await asyncio.gather(place.run(code, count=2), other.run(code, count=3))
    assert (first.value, second.value) == (2, 3)
    assert (len(pictures(one)), len(pictures(two))) == (2, 3)


async def test_the_hosts_figures_and_backend_are_untouched(place: Place) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    from matplotlib._pylab_helpers import Gcf

    plt.switch_backend("svg")
    figure = plt.figure("host")
    ending, _kept = await place.run(
        PLOT + "plt.plot([1]); matplotlib = plt.matplotlib; matplotlib.use('pdf')\n"
        "plt.close('all'); plt.figure(); plt.get_fignums()"
    )
    assert ending.value == [1]
    assert plt.get_backend() == "svg"
    assert mpl.rcParams["backend"] == "svg"
    assert plt.get_figlabels() == ["host"]
    assert plt.gcf() is figure
    await place.environment.close()
    assert type(Gcf.figs).__name__ == "OrderedDict"
    plt.close("all")


async def test_a_figure_can_be_displayed_as_an_object(place: Place) -> None:
    _, kept = await place.run(
        "from matplotlib.figure import Figure\nfigure = Figure(); figure.subplots()\nfigure"
    )
    (result,) = kept.of_type("execute_result")
    assert result.data["image/png"]
